"""Standard errors of the metrics of samples, from halves and quarters of them.

That they are the spread of other samples' values is held in tests/metrics/test_calibration.py.
"""

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
from fokker.evaluations.evaluate import PreparedMetric, SampleMetrics
from fokker.metrics import (
    EnergyDistance,
    NearestNeighbourRatio,
    SlicedW2,
    SlicedWasserstein2,
    Wasserstein1,
)
from fokker.metrics.blocks import NUM_HALVES, PARTS, OnParts, groups_in_blocks

MEAN, STD = 3.0, 2.5


def points(seed: int, n: int, d: int, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return MEAN + shift + STD * torch.randn(n, d, generator=generator, dtype=torch.float64)


Distance = Wasserstein1 | SlicedWasserstein2 | EnergyDistance | NearestNeighbourRatio


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
@pytest.mark.parametrize(("n", "m"), [(208, 208), (200, 120), (163, 310), (20, 7)])
def test_a_part_is_measured_as_if_it_were_all(
    make: Callable[[Tensor], Distance], d: int, n: int, m: int
) -> None:
    samples, reference = points(1, n, d, shift=0.4), points(2, m, d)
    samples[3] = samples[4]  # Ties, of samples and with the reference.
    samples[5] = samples[14] = reference[3]
    metric = make(reference)
    metric.update(samples[: n // 3])
    metric.update(samples[n // 3 :])
    found = metric.on_parts()
    used = n // 16 * 16
    assert found.used == used / n
    values = torch.cat([found.halves.flatten(), found.quarters.flatten()])
    for value, part in zip(values[::7], PARTS[::7], strict=True):
        again = make(reference)
        again.update(samples[:used][part.repeat(used // 16)])
        assert float(value) == pytest.approx(float(again.compute()), rel=1e-8)


def test_parts_are_halves_and_quarters_and_show_every_contrast_once() -> None:
    halves = PARTS[:NUM_HALVES].view(15, 2, 16)
    quarters = PARTS[NUM_HALVES:].view(5, 4, 16).float()
    assert (halves.sum(dim=2) == 8).all()
    assert (quarters.sum(dim=2) == 4).all()
    assert (halves.sum(dim=1) == 1).all()
    assert (quarters.sum(dim=1) == 1).all()
    contrasts = halves[:, 0].double() - halves[:, 1].double()
    torch.testing.assert_close(contrasts @ contrasts.T, 16 * torch.eye(15, dtype=torch.float64))
    # The spread between four quarters is that of three contrasts; five times three are all.
    centred = (quarters - 1 / 4).flatten(0, 1)
    expected = 4 * (torch.eye(16) - 1 / 16)
    torch.testing.assert_close(centred.T @ centred, expected)


def test_a_metric_of_few_samples_counts_those_alone() -> None:
    samples, reference = points(3, 2600, 2, shift=1.0), points(4, 2300, 2)
    metric, first = EnergyDistance(reference), EnergyDistance(reference)
    metric.update(samples)
    first.update(samples[:2000])
    found, expected = metric.on_parts(), first.on_parts()
    assert found.used == expected.used == 1
    torch.testing.assert_close(found.halves, expected.halves)


@pytest.mark.parametrize(("make", "d"), [(SlicedWasserstein2, 2), (EnergyDistance, 1)])
def test_samples_far_from_the_mean_lose_no_digits(
    make: Callable[[Tensor], Distance], d: int
) -> None:
    samples, reference = points(5, 500, d, shift=3e4), points(6, 400, d, shift=3e4)
    near, far = make(reference - 3e4), make(reference)
    near.update(samples - 3e4)
    far.update(samples)
    torch.testing.assert_close(far.on_parts().halves, near.on_parts().halves, rtol=1e-7, atol=0)


def test_of_a_mean_it_is_the_textbooks() -> None:
    """Far from the data W1 is the difference of the means, and a block can be one sample."""
    reference = points(8, 55, 1)
    for n, used in ((16, 16), (96, 96), (105, 96)):
        samples = points(7, n, 1, shift=100.0)
        metric = Wasserstein1(reference)
        metric.update(samples)
        means = samples[:used].view(-1, 16).mean(dim=0)
        expected = float(means.std(correction=1)) / math.sqrt(16 * n / used)
        assert metric.on_parts().standard_error() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [320, 333])
def test_samples_that_depend_on_each_other_count_as_one(count: int) -> None:
    """Four copies of each have the standard error of one, and not half of it."""
    alone = points(3, count, 2)
    four = alone.repeat_interleave(4, dim=0)
    assert torch.equal(groups_in_blocks(four, 4).sort(0).values, four.sort(0).values)
    sliced = PreparedMetric("sliced_w2", SlicedW2(), SlicedWasserstein2(points(4, 500, 2)))
    made = SampleMetrics({"sliced_w2": sliced})
    used = count - count % 16
    errors = [made(alone[:used]), made(four[: 4 * used], group=4), made(four[: 4 * used])]
    one, grouped, free = (found["sliced_w2_standard_error"] for found in errors)
    assert grouped == pytest.approx(one, rel=1e-9)
    assert free < 0.8 * one
    parts = made.on_parts(four[: 4 * used], group=4)["sliced_w2"]
    assert parts.standard_error() == grouped


@pytest.mark.parametrize(("make", "d"), METRICS)
def test_fewer_samples_than_blocks_have_none(make: Callable[[Tensor], Distance], d: int) -> None:
    metric = make(points(2, 60, d))
    metric.update(points(1, 15, d))
    with pytest.raises(ValueError, match="at least 16 samples, got 15"):
        metric.on_parts()


@pytest.mark.parametrize(
    ("halves", "quarters", "expected"),
    [
        # m var(T_m) = c + b / m: of n it is c + b / n, of n/2 c + 2 b / n, of n/4 c + 4 b / n.
        (5.0 + 2.0, 5.0 + 4.0, 5.0 + 1.0),
        (5.0, 5.0, 5.0),
        # More than can be: the half stays of what halves show.
        (5.0, 15.0, 2.5),
    ],
)
def test_the_variance_is_extrapolated(halves: float, quarters: float, expected: float) -> None:
    """Of values whose variances times the parts' sizes, over n, are these."""
    a = torch.tensor([0.0, 2 * math.sqrt(halves)]).expand(15, 2)
    b = torch.tensor([1.0, 1.0, -1.0, -1.0]).mul(math.sqrt(3 * quarters)).expand(5, 4)
    assert OnParts(a, b, 1.0).standard_error() == pytest.approx(math.sqrt(expected))
    assert OnParts(a, b, 0.5).standard_error() == pytest.approx(math.sqrt(expected / 2))


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
    expected = metric.on_parts().standard_error()
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
    found = SampleMetrics.of(made.plan.metrics, made.model.data, 100)(points(13, 100, 2))
    assert 0 < found["nearest_neighbour_ratio_standard_error"] < found["nearest_neighbour_ratio"]


def test_twenty_evaluations_of_10000_samples_are_cheap() -> None:
    made = tiny_runs.compose_experiment()
    measure = SampleMetrics.of(made.plan.metrics, made.model.data, 10_000)
    samples = points(11, 10_000, 1)
    seconds = []
    for _ in range(3):
        started = time.process_time()
        measure(samples)
        seconds.append(time.process_time() - started)
    assert 20 * min(seconds) < 1.5
