"""Standard errors of the metrics of samples, by leaving out one block of ten at a time."""

import csv
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import tiny_runs
from fokker.experiment.evaluate import Distance, SampleMetrics
from fokker.metrics import (
    EnergyDistance,
    NearestNeighbourRatio,
    SlicedWasserstein2,
    Wasserstein1,
)
from fokker.metrics.blocks import standard_error

MEAN, STD = 3.0, 2.5


def points(seed: int, n: int, d: int, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return MEAN + shift + STD * torch.randn(n, d, generator=generator, dtype=torch.float64)


def w1(reference: Tensor) -> Distance:
    return Wasserstein1(reference)


def nearest(reference: Tensor) -> Distance:
    return NearestNeighbourRatio(reference, points(99, 300, reference.shape[1]))


METRICS: list[tuple[Callable[[Tensor], Distance], int]] = [
    (w1, 1),
    (SlicedWasserstein2, 1),
    (SlicedWasserstein2, 3),
    (EnergyDistance, 1),
    (EnergyDistance, 3),
    (EnergyDistance, 20),
    (nearest, 1),
    (nearest, 3),
    (nearest, 20),
]


@pytest.mark.parametrize(("make", "d"), METRICS)
@pytest.mark.parametrize(("n", "m"), [(200, 200), (200, 120), (163, 310), (20, 7)])
def test_what_is_left_is_measured_as_if_it_were_all(
    make: Callable[[Tensor], Distance], d: int, n: int, m: int
) -> None:
    samples, reference = points(1, n, d, shift=0.4), points(2, m, d)
    samples[3] = samples[4]  # Ties, of samples and with the reference.
    samples[5] = samples[14] = reference[3]
    metric = make(reference)
    metric.update(samples[: n // 3])
    metric.update(samples[n // 3 :])
    without = metric.without_blocks(10)
    assert without.shape == (10,)
    for j in range(10):
        again = make(reference)
        again.update(samples[[i for i in range(n) if i % 10 != j]])
        assert float(without[j]) == pytest.approx(float(again.compute()), rel=1e-9)


def test_a_metric_of_few_samples_counts_those_alone() -> None:
    samples, reference = points(3, 2600, 2, shift=1.0), points(4, 2300, 2)
    metric, first = EnergyDistance(reference), EnergyDistance(reference)
    metric.update(samples)
    first.update(samples[:2000])
    torch.testing.assert_close(metric.without_blocks(10), first.without_blocks(10))


def test_samples_far_from_the_mean_lose_no_digits() -> None:
    samples, reference = points(5, 500, 2, shift=3e4), points(6, 400, 2, shift=3e4)
    near, far = SlicedWasserstein2(reference - 3e4), SlicedWasserstein2(reference)
    near.update(samples - 3e4)
    far.update(samples)
    torch.testing.assert_close(far.without_blocks(10), near.without_blocks(10), rtol=1e-7, atol=0)


def test_of_a_mean_it_is_the_textbooks() -> None:
    """Far from the data W1 is the difference of the means, and a block can be one sample."""
    samples = points(7, 40, 1, shift=100.0)
    metric = Wasserstein1(points(8, 55, 1))
    metric.update(samples)
    expected = float(samples.std(correction=1)) / math.sqrt(40)
    assert standard_error(metric.without_blocks(40)) == pytest.approx(expected, rel=1e-9)
    # With ten blocks of four it is that of ten means.
    means = samples.view(4, 10).mean(dim=0)
    expected = float(means.std(correction=1)) / math.sqrt(10)
    assert standard_error(metric.without_blocks(10)) == pytest.approx(expected, rel=1e-9)


def test_the_root_of_a_mean_of_squares() -> None:
    """The delta method: SW_2 from a single point, one direction: sqrt(mean (x - c)^2)."""
    samples = points(9, 2000, 1)
    metric = SlicedWasserstein2(torch.full((3, 1), 1.0, dtype=torch.float64))
    metric.update(samples)
    squares = (samples - 1).square()
    expected = float(squares.std() / (2 * squares.mean().sqrt())) / math.sqrt(2000)
    found = standard_error(metric.without_blocks(2000))
    assert found == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("make", "d", "shift", "above"),
    [
        (w1, 1, 12.0, 1.25),
        (w1, 1, 0.6, 1.25),
        # Samples of the data's own law: the error is there rather too large than too small.
        (w1, 1, 0.0, 1.5),
        (SlicedWasserstein2, 1, 0.6, 1.25),
        (SlicedWasserstein2, 2, 0.6, 1.25),
        (SlicedWasserstein2, 2, 0.0, 1.5),
        (EnergyDistance, 1, 0.6, 1.25),
        (EnergyDistance, 2, 0.6, 1.25),
        (EnergyDistance, 2, 0.0, 1.5),
        (nearest, 2, 0.6, 1.25),
    ],
)
def test_the_spread_of_independent_runs_is_what_is_reported(
    make: Callable[[Tensor], Distance], d: int, shift: float, above: float
) -> None:
    n, runs = 500, 50
    quantiles = torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)
    metric = make(MEAN + STD * quantiles[:, None] if d == 1 else points(10, n, d))
    values, squares = torch.zeros(runs, dtype=torch.float64), 0.0
    for run in range(runs):
        metric.reset()
        metric.update(points(1000 + run, n, d, shift))
        values[run] = metric.compute()
        squares += standard_error(metric.without_blocks(10)) ** 2 / runs
    assert 1 / 1.25 < math.sqrt(squares) / float(values.std()) < above


# In a run ------------------------------------------------------------------------------------

NAMES = ("w1", "sliced_w2", "energy_distance")


def test_they_stand_in_the_files_and_not_on_the_screen(
    workdir: object, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tiny_runs.run("network=exact", "evaluation.num_steps=[3,5]", "sampler.num_steps=3")
    with (result.path / "evaluations.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    metric = Wasserstein1(result.model.data.reference(100))
    metric.update(result.samples)
    for name in NAMES:
        column = f"{name}_standard_error"
        assert result.metrics[column] == float(rows[0][column])
        assert 0 < float(rows[1][column]) != float(rows[0][column])
    expected = standard_error(metric.without_blocks(10))
    assert result.metrics["w1_standard_error"] == pytest.approx(expected)
    printed = capsys.readouterr().out
    assert "energy_distance" in printed
    assert "standard_error" not in printed


@pytest.mark.parametrize(
    ("changes", "has_error"),
    [
        (("evaluation.num_samples=20",), True),
        (("evaluation.num_samples=19",), False),
        (("evaluation.noise=quantiles",), False),
    ],
)
def test_without_chance_or_with_too_few_samples_there_are_none(
    workdir: object, changes: tuple[str, ...], has_error: bool
) -> None:
    result = tiny_runs.run("network=exact", "sampler.num_steps=3", *changes)
    assert "w1" in result.metrics
    columns = {f"{name}_standard_error" for name in NAMES}
    header = (result.path / "evaluations.csv").read_text().splitlines()[0].split(",")
    assert columns & result.metrics.keys() == (columns if has_error else set())
    assert columns & set(header) == (columns if has_error else set())


def test_memorisation_has_one_too(tmp_path: Path) -> None:
    np.save(tmp_path / "points.npy", points(12, 300, 2).numpy())
    made = tiny_runs.compose_experiment("data=points", f"data.path={tmp_path / 'points.npy'}")
    found = SampleMetrics.of(made.model.data, 100)(points(13, 100, 2))
    assert 0 < found["nearest_neighbour_ratio_standard_error"] < found["nearest_neighbour_ratio"]


def test_twenty_evaluations_of_10000_samples_are_cheap() -> None:
    measure = SampleMetrics.of(tiny_runs.compose_experiment().model.data, 10_000)
    samples = points(11, 10_000, 1)
    seconds = []
    for _ in range(3):
        started = time.process_time()
        measure(samples)
        seconds.append(time.process_time() - started)
    assert 20 * min(seconds) < 1.5
