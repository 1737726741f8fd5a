"""Memorisation against scikit-learn's neighbours."""

import math
from time import process_time

import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from fokker.metrics import NearestNeighbourRatio, RepeatedPointsError


def points(seed: int, n: int, d: int, mean: float = 3.0, std: float = 2.5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return mean + std * torch.randn(n, d, generator=generator, dtype=torch.float64)


def expected_ratio(training: Tensor, held_out: Tensor, samples: Tensor) -> float:
    neighbours = NearestNeighbors(n_neighbors=1).fit(training.numpy())
    samples_distance = neighbours.kneighbors(samples.numpy())[0].mean()
    return float(samples_distance / neighbours.kneighbors(held_out.numpy())[0].mean())


# 8 and 9 stand on both sides of the change from a tree to products.
@pytest.mark.parametrize("d", [1, 2, 8, 9, 40])
@pytest.mark.parametrize(("m", "k", "n"), [(300, 300, 300), (401, 80, 23), (1, 5, 5)])
def test_agrees_with_scikit_learn(d: int, m: int, k: int, n: int) -> None:
    training, held_out = points(0, m, d), points(1, k, d)
    samples = points(2, n, d, mean=2.0, std=4.0)
    metric = NearestNeighbourRatio(training, held_out)
    metric.update(samples)
    value = metric.compute()
    assert value.shape == ()
    assert value.dtype == torch.float64
    assert float(value) == pytest.approx(expected_ratio(training, held_out, samples), rel=1e-10)


@pytest.mark.parametrize("d", [2, 20])
def test_more_queries_than_one_block(d: int) -> None:
    training, held_out = points(3, 5000, d), points(4, 100, d)
    samples = points(5, 200, d)
    metric = NearestNeighbourRatio(training, held_out)
    metric.update(samples)
    expected = expected_ratio(training, held_out, samples)
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("d", [2, 20])
def test_memorisation_is_below_one_and_fresh_samples_are_at_one(d: int) -> None:
    training, held_out = points(6, 1500, d, mean=50.0), points(7, 1500, d, mean=50.0)
    metric = NearestNeighbourRatio(training, held_out)
    metric.update(training.flip(0))
    assert float(metric.compute()) == 0
    metric.reset()
    metric.update(training + 1e-5)
    assert 0 < float(metric.compute()) < 0.01
    metric.reset()
    metric.update(points(8, 1500, d, mean=50.0))
    assert float(metric.compute()) == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("d", [3, 12])
def test_split_updates_equal_one_update(d: int) -> None:
    training, held_out, samples = points(9, 200, d), points(10, 50, d), points(11, 77, d)
    metric = NearestNeighbourRatio(training, held_out)
    metric.update(samples)
    expected = float(metric.compute())
    metric.reset()
    for part in (samples[:10], samples[10:10], samples[10:]):
        metric.update(part)
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("d", [3, 12])
def test_refusals(d: int) -> None:
    training, held_out = points(12, 30, d), points(13, 20, d)
    metric = NearestNeighbourRatio(training, held_out)
    with pytest.raises(ValueError, match=rf"d={d}, got d={d + 1}"):
        metric.update(points(14, 5, d + 1))
    bad = held_out.clone()
    bad[0, 0] = math.nan
    with pytest.raises(ValueError, match="samples must be finite"):
        metric.update(bad)
    with pytest.raises(ValueError, match="held_out must be finite"):
        NearestNeighbourRatio(training, bad)
    with pytest.raises(ValueError, match="training must be finite"):
        NearestNeighbourRatio(bad, held_out)
    with pytest.raises(ValueError, match="held_out must have the reference's dimension"):
        NearestNeighbourRatio(training, points(15, 5, d + 1))
    with pytest.raises(ValueError, match="held_out must hold at least one point"):
        NearestNeighbourRatio(training, held_out[:0])
    with pytest.raises(RepeatedPointsError, match=r"^10 of 10 held-out points are training points"):
        NearestNeighbourRatio(training, training[:10])


@pytest.mark.parametrize("d", [1, 3, 12])
def test_one_held_out_point_of_a_hundred_may_be_a_training_point(d: int) -> None:
    training, held_out, samples = points(18, 300, d), points(19, 200, d), points(20, 50, d)
    held_out[[3, 150]] = training[[7, 200]]
    metric = NearestNeighbourRatio(training, held_out)
    metric.update(samples)
    expected = expected_ratio(training, held_out, samples)
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-10)
    held_out[77] = training[0]
    with pytest.raises(RepeatedPointsError, match=r"^3 of 200 held-out points .* at most 1% are$"):
        NearestNeighbourRatio(training, held_out)


def test_training_points_that_come_often_do_not_slow_the_search() -> None:
    """A tree cannot divide equal points; with 8 different rows it would ask a leaf of thousands."""
    training = torch.eye(8, dtype=torch.float64)[torch.arange(20_000) % 8]
    samples = points(21, 5_000, 8)
    started = process_time()
    metric = NearestNeighbourRatio(training, samples + 0.1)
    metric.update(samples)
    assert process_time() - started < 0.5
    assert float(metric.compute()) == pytest.approx(
        expected_ratio(training[:8], samples + 0.1, samples), rel=1e-10
    )


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_nothing_has_no_ratio() -> None:
    metric = NearestNeighbourRatio(points(16, 9, 2), points(17, 9, 2))
    with pytest.raises(ValueError, match="call update before compute"):
        metric.compute()
