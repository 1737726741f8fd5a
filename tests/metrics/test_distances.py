"""W1, sliced W2 and energy distance against scipy, POT and closed forms."""

import math

import numpy as np
import ot
import pytest
import scipy.stats
import torch
from scipy.spatial.distance import cdist
from torch import Tensor
from torchmetrics import Metric

from fokker.metrics import EnergyDistance, SlicedWasserstein2, Wasserstein1


def points(seed: int, n: int, d: int, mean: float = 3.0, std: float = 2.5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return mean + std * torch.randn(n, d, generator=generator, dtype=torch.float64)


def measure(metric: Metric, samples: Tensor) -> float:
    metric.update(samples)
    value = metric.compute()
    assert value.shape == ()
    assert value.dtype == torch.float64
    return float(value)


SIZES = [(1, 1), (1, 7), (500, 500), (501, 200), (60, 90), (97, 1000)]


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_w1_agrees_with_scipy_and_pot(n: int, m: int) -> None:
    x, y = points(0, n, 1), points(1, m, 1, mean=-1.0, std=0.7)
    value = measure(Wasserstein1(y), x)
    expected = scipy.stats.wasserstein_distance(x[:, 0].numpy(), y[:, 0].numpy())
    assert value == pytest.approx(expected, rel=1e-12)
    linear_programme = ot.emd2_1d(x[:, 0].numpy(), y[:, 0].numpy(), metric="euclidean")
    assert value == pytest.approx(linear_programme, rel=1e-10)


def test_w1_with_ties_and_repeated_points() -> None:
    x = torch.tensor([[5.0], [5.0], [-2.0], [0.0], [0.0]])
    y = torch.tensor([[0.0], [5.0], [5.0]])
    expected = scipy.stats.wasserstein_distance(x[:, 0].numpy(), y[:, 0].numpy())
    assert measure(Wasserstein1(y), x) == pytest.approx(expected, rel=1e-12)


def test_w1_of_samples_by_quantiles_of_two_normals() -> None:
    # W1 of N(3, 2) and N(3, 0.5) is |2 - 0.5| E|Z| = 1.5 sqrt(2/pi).
    q = (np.arange(20000) + 0.5) / 20000
    z = torch.from_numpy(scipy.stats.norm.ppf(q))[:, None]
    value = measure(Wasserstein1(3 + 0.5 * z[::7]), 3 + 2 * z)
    assert value == pytest.approx(1.5 * math.sqrt(2 / math.pi), rel=2e-3)


@pytest.mark.parametrize("d", [1, 2, 5, 200])
@pytest.mark.parametrize(("n", "m"), [(300, 300), (301, 120), (1, 9)])
def test_sliced_w2_agrees_with_pot_along_its_own_directions(n: int, m: int, d: int) -> None:
    x, y = points(2, n, d), points(3, m, d, mean=2.0, std=1.1)
    metric = SlicedWasserstein2(y)
    directions = metric._directions
    count = 1 if d == 1 else 128  # On the line all directions are one.
    assert directions.shape == (d, count)
    assert torch.allclose(directions.norm(dim=0), torch.ones(count, dtype=torch.float64))
    expected = ot.sliced_wasserstein_distance(x.numpy(), y.numpy(), projections=directions.numpy())
    assert measure(metric, x) == pytest.approx(float(expected), rel=1e-10)


def test_sliced_w2_of_a_shift_averages_the_squares_of_its_components() -> None:
    # W2(theta X, theta (X + a)) = |theta a|, whose mean square over the sphere is |a|^2/d.
    x = points(4, 400, 3)
    shift = torch.tensor([40.0, -20.0, 10.0], dtype=torch.float64)
    metric = SlicedWasserstein2(x)
    value = measure(metric, x + shift)
    assert value == pytest.approx(float(shift.norm()) / math.sqrt(3), rel=0.1)
    # Which a mean of |theta a|, |a|/2, is not far from either: to rounding along its own theta.
    along = shift @ metric._directions
    assert value == pytest.approx(float(along.square().mean().sqrt()), rel=1e-12)
    # Doubled in all units, doubled exactly.
    assert measure(SlicedWasserstein2(2 * x), 2 * (x + shift)) == pytest.approx(2 * value)


def test_sliced_w2_has_the_same_directions_whatever_was_drawn_before() -> None:
    x, y = points(5, 50, 4), points(6, 70, 4)
    before = torch.get_rng_state()
    first = measure(SlicedWasserstein2(y), x)
    assert torch.equal(torch.get_rng_state(), before)
    torch.randn(17)
    assert measure(SlicedWasserstein2(y), x) == first


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_energy_distance_on_the_line_agrees_with_scipy(n: int, m: int) -> None:
    x, y = points(7, n, 1), points(8, m, 1, mean=-1.0, std=0.7)
    expected = scipy.stats.energy_distance(x[:, 0].numpy(), y[:, 0].numpy())
    assert measure(EnergyDistance(y), x) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("d", [1, 2, 16, 17, 300])
def test_energy_distance_agrees_with_the_sum_over_all_pairs(d: int) -> None:
    x, y = points(9, 210, d), points(10, 340, d, mean=2.6)
    a, b = x.numpy(), y.numpy()
    square = 2 * cdist(a, b).mean() - cdist(a, a).mean() - cdist(b, b).mean()
    assert measure(EnergyDistance(y), x) == pytest.approx(math.sqrt(square), rel=1e-8)


def test_energy_distance_takes_the_first_2000_points_of_each_set() -> None:
    x, y = points(11, 2600, 2), points(12, 2300, 2, mean=3.4)
    whole = EnergyDistance(y)
    whole.update(x[:1500])
    whole.update(x[1500:2100])
    whole.update(x[2100:])
    first = measure(EnergyDistance(y[:2000]), x[:2000])
    assert float(whole.compute()) == first
    # No more are kept, nor sent to other processes.
    assert sum(part.numel() for part in whole.samples) == 2000 * 2
    # On the line every point counts.
    expected = scipy.stats.energy_distance(x[:, 0].numpy(), y[:, 0].numpy())
    assert measure(EnergyDistance(y[:, :1]), x[:, :1]) == pytest.approx(expected, rel=1e-10)


METRICS = [(Wasserstein1, 1), (EnergyDistance, 1), (EnergyDistance, 3), (SlicedWasserstein2, 3)]


@pytest.mark.parametrize(("metric_class", "d"), METRICS)
def test_equal_laws_are_at_distance_zero(metric_class: type[Metric], d: int) -> None:
    x = points(13, 250, d)
    order = torch.randperm(250, generator=torch.Generator().manual_seed(0))
    assert measure(metric_class(x), x[order]) == pytest.approx(0, abs=1e-7)
    # Every point twice is the same law.
    assert measure(metric_class(x), torch.cat([x, x])) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize(("metric_class", "d"), METRICS)
def test_units_scale(metric_class: type[Metric], d: int) -> None:
    x, y = points(14, 100, d), points(15, 130, d, mean=1.0)
    power = 0.5 if metric_class is EnergyDistance else 1.0
    scaled = measure(metric_class(100 * y + 7), 100 * x + 7)
    assert scaled == pytest.approx(100**power * measure(metric_class(y), x), rel=1e-9)
    # And the distance is symmetric.
    assert measure(metric_class(x), y) == pytest.approx(measure(metric_class(y), x), rel=1e-9)


@pytest.mark.parametrize(("metric_class", "d"), METRICS)
def test_split_updates_equal_one_update_and_reset_forgets(
    metric_class: type[Metric], d: int
) -> None:
    x, y = points(16, 333, d), points(17, 200, d, mean=2.0)
    metric = metric_class(y)
    expected = measure(metric, x)
    metric.reset()
    for part in (x[:1], x[1:1], x[1:100], x[100:]):
        metric.update(part)
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("metric_class", "d"), METRICS)
def test_float32_samples_are_measured_in_float64(metric_class: type[Metric], d: int) -> None:
    x, y = points(18, 300, d, mean=1e4, std=0.1), points(19, 300, d, mean=1e4, std=0.1)
    single = measure(metric_class(y.float()), x.float())
    assert single == measure(metric_class(y.float().double()), x.float().double())


@pytest.mark.parametrize(("metric_class", "d"), METRICS)
def test_half_precision_of_the_module_around_does_not_round_the_reference(
    metric_class: type[Metric], d: int
) -> None:
    x, y = points(20, 50, d), points(21, 50, d)
    expected = measure(metric_class(y), x)
    module = torch.nn.ModuleDict({"metric": metric_class(y)}).half()
    metric = module["metric"]
    assert isinstance(metric, Metric)
    assert measure(metric, x) == expected
    assert not module.state_dict()


@pytest.mark.parametrize(("metric_class", "d"), METRICS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(
    metric_class: type[Metric], d: int, value: float
) -> None:
    x = points(22, 20, d)
    bad = x.clone()
    bad[3, 0] = value
    with pytest.raises(ValueError, match=rf"samples must be finite, got 1 .* of {20 * d}"):
        metric_class(x).update(bad)
    with pytest.raises(ValueError, match="reference must be finite"):
        metric_class(bad)


@pytest.mark.parametrize(("metric_class", "d"), METRICS)
def test_wrong_shapes_are_refused(metric_class: type[Metric], d: int) -> None:
    x = points(23, 20, d)
    metric = metric_class(x)
    with pytest.raises(ValueError, match=rf"d={d}, got d={d + 1}"):
        metric.update(points(24, 20, d + 1))
    with pytest.raises(ValueError, match=r"samples must have shape \(n, d\), got \(20,\)"):
        metric.update(x[:, 0])
    with pytest.raises(ValueError, match=r"got \(20, 1, "):
        metric.update(x[:, None])
    with pytest.raises(ValueError, match="at least one point"):
        metric_class(x[:0])


def test_w1_refuses_a_plane_and_says_what_to_use() -> None:
    with pytest.raises(ValueError, match="d=1, got d=2: use SlicedWasserstein2"):
        Wasserstein1(points(25, 10, 2))


@pytest.mark.parametrize(("metric_class", "d"), METRICS)
@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_nothing_has_no_distance(metric_class: type[Metric], d: int) -> None:
    metric = metric_class(points(26, 10, d))
    with pytest.raises(ValueError, match="call update before compute"):
        metric.compute()


def test_names_in_records() -> None:
    assert Wasserstein1.name == "w1"
    assert SlicedWasserstein2.name == "sliced_w2"
    assert EnergyDistance.name == "energy_distance"
