"""Random numbers are functions of (stream, seed, step, index) and of nothing else."""

import itertools
import math
import random

import pytest
import scipy.stats
import torch
from torch import Tensor

from fokker.randomness import BrownianPath, Randomness, SamplingNoise, unit_rows

SHAPES = [(1,), (2,), (64,), (3, 8, 8), (3072,)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_slice_equals_that_part_of_the_whole(shape: tuple[int, ...]) -> None:
    total = min(2600, 4 * unit_rows(shape) + 7)
    whole = Randomness(3).normal("noise", 0, total, shape, step=5)
    assert whole.shape == (total, *shape)
    assert whole.dtype == torch.float32
    cuts = [0, *sorted(random.Random(0).sample(range(1, total), 6)), total]
    parts = list(itertools.pairwise(cuts))
    random.Random(1).shuffle(parts)
    randomness = Randomness(3)
    for start, stop in parts:
        part = randomness.normal("noise", start, stop, shape, step=5)
        assert torch.equal(part, whole[start:stop])


@pytest.mark.parametrize("index", [0, 5, 1024])
def test_an_empty_slice_is_empty(index: int) -> None:
    assert Randomness(3).normal("noise", index, index, (2, 3)).shape == (0, 2, 3)
    assert Randomness(3).uniform("sigma", index, index).shape == (0,)


def test_a_slice_of_uniforms_equals_that_part_of_the_whole() -> None:
    whole = Randomness(3).uniform("sigma", 0, 3000, step=2)
    for start, stop in [(0, 1), (1000, 1030), (1024, 2048), (7, 2999)]:
        assert torch.equal(Randomness(3).uniform("sigma", start, stop, step=2), whole[start:stop])


def test_what_was_drawn_before_does_not_matter() -> None:
    fresh = Randomness(11).normal("prior", 100, 300, (2,))
    used = Randomness(11)
    used.normal("prior", 0, 50, (2,), step=1)
    used.uniform("prior", 0, 50)
    used.normal("prior", 0, 50, (3,))
    used.permutation("data", 10, 1)
    used.normal("noise", 100, 300, (2,))
    assert torch.equal(used.normal("prior", 100, 300, (2,)), fresh)
    assert torch.equal(used.normal("prior", 100, 300, (2,)), fresh)


def test_writing_into_a_draw_does_not_change_the_next_one() -> None:
    randomness = Randomness(0)
    first = randomness.normal("noise", 0, 10, (2,))
    kept = first.clone()
    first.mul_(100)
    assert torch.equal(randomness.normal("noise", 0, 10, (2,)), kept)


def test_streams_seeds_steps_and_indices_differ() -> None:
    draws = [
        Randomness(0).normal("noise", 0, 64, (4,)),
        Randomness(0).normal("noise", 64, 128, (4,)),
        Randomness(0).normal("noise", 1024, 1088, (4,)),
        Randomness(0).normal("noise", 2048, 2112, (4,)),
        Randomness(0).normal("noise", 0, 64, (4,), step=1),
        Randomness(0).normal("noise", 0, 64, (4,), step=2),
        Randomness(0).normal("prior", 0, 64, (4,)),
        Randomness(0).normal("sampler", 0, 64, (4,)),
        Randomness(1).normal("noise", 0, 64, (4,)),
        Randomness(-1).normal("noise", 0, 64, (4,)),
        Randomness(2**70 + 1).normal("noise", 0, 64, (4,)),
        Randomness(2**70).normal("noise", 0, 64, (4,)),
    ]
    table = torch.stack(draws).flatten(1)
    correlation = torch.corrcoef(table) - torch.eye(len(draws))
    assert correlation.abs().max() < 5 / math.sqrt(table.shape[1])
    assert len(set(table.flatten().tolist())) > 0.999 * table.numel()


@pytest.mark.parametrize("shape", [(1,), (50,)])
def test_normals_are_standard_normal(shape: tuple[int, ...]) -> None:
    rows = 100_000 // math.prod(shape)
    draws = Randomness(5).normal("data", 0, rows, shape).double().flatten()
    n = len(draws)
    assert abs(draws.mean()) < 4 / math.sqrt(n)
    assert abs(draws.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((draws**4).mean() - 3) < 4 * math.sqrt(96 / n)
    assert scipy.stats.kstest(draws.numpy(), "norm").pvalue > 1e-3
    for lag in (1, 2, 1024):
        assert abs((draws[lag:] * draws[:-lag]).mean()) < 4 / math.sqrt(n)


def test_the_same_index_is_independent_from_step_to_step() -> None:
    randomness = Randomness(5)
    steps = [randomness.normal("noise", 3, 4, (1,), step=step) for step in range(3000)]
    draws = torch.cat(steps).double().flatten()
    assert scipy.stats.kstest(draws.numpy(), "norm").pvalue > 1e-3
    assert abs((draws[1:] * draws[:-1]).mean()) < 4 / math.sqrt(len(draws))


def test_uniforms_are_uniform() -> None:
    draws = Randomness(5).uniform("sigma", 0, 50_000)
    assert draws.dtype == torch.float64
    assert (draws >= 0).all()
    assert (draws < 1).all()
    assert scipy.stats.kstest(draws.numpy(), "uniform").pvalue > 1e-3


def test_permutations() -> None:
    first = Randomness(2).permutation("data", 1797, 0)
    assert torch.equal(first.sort().values, torch.arange(1797))
    assert torch.equal(first, Randomness(2).permutation("data", 1797, 0))
    assert not torch.equal(first, Randomness(2).permutation("data", 1797, 1))
    assert not torch.equal(first, Randomness(3).permutation("data", 1797, 0))


def test_no_global_generator_is_touched_or_read() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    randomness = Randomness(0)
    first = randomness.normal("noise", 0, 100, (3,))
    randomness.uniform("sigma", 0, 10)
    randomness.permutation("data", 10)
    list(BrownianPath(randomness, 0, 10, (2,)).increments(5))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(Randomness(0).normal("noise", 0, 100, (3,)), first)


@pytest.mark.parametrize("shape", [*SHAPES, (1, 1), (70_000,), ()])
def test_a_unit_is_a_power_of_two_that_depends_on_the_shape_alone(shape: tuple[int, ...]) -> None:
    rows, size = unit_rows(shape), math.prod(shape)
    assert rows & (rows - 1) == 0
    assert 16 <= rows <= 1024
    assert rows in (16, 1024) or rows * size <= 65536 < 2 * rows * size


def increments(num_steps: int, start: int = 0, stop: int = 4000, seed: int = 1) -> Tensor:
    """(N, n)."""
    path = BrownianPath(Randomness(seed), start, stop, (1,))
    return torch.stack(list(path.increments(num_steps))).double().squeeze(-1)


def path_at_ends(num_steps: int) -> tuple[Tensor, Tensor]:
    """(times, W), W rebuilt from the increments at i/N snapped to 1/2^L."""
    ticks = 256 if num_steps <= 128 else 2 ** (math.ceil(math.log2(num_steps)) + 1)
    times = torch.tensor([round(i * ticks / num_steps) / ticks for i in range(num_steps + 1)])
    steps = times.double().diff().sqrt()[:, None] * increments(num_steps)
    return times, steps.cumsum(0)


@pytest.mark.parametrize("num_steps", [1, 2, 5, 7, 18])
def test_increments_are_independent_standard_normals(num_steps: int) -> None:
    draws = increments(num_steps, stop=20_000)
    assert draws.shape == (num_steps, 20_000)
    covariance = draws @ draws.T / draws.shape[1]
    assert (covariance - torch.eye(num_steps)).abs().max() < 5 / math.sqrt(draws.shape[1])
    assert draws.mean(1).abs().max() < 4.5 / math.sqrt(draws.shape[1])
    assert scipy.stats.kstest(draws.flatten().numpy(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("num_steps", [129, 200, 257, 300, 1000])
def test_many_steps(num_steps: int) -> None:
    draws = increments(num_steps)
    assert len(draws) == num_steps
    assert abs(draws.var() - 1) < 4 * math.sqrt(2 / draws.numel())
    neighbours = (draws[1:] * draws[:-1]).mean()
    assert abs(neighbours) < 4 / math.sqrt(draws.numel())


@pytest.mark.parametrize("ratio", [2, 4])
@pytest.mark.parametrize("num_steps", [1, 4, 8, 16])
def test_coarse_increments_are_sums_of_fine_ones(num_steps: int, ratio: int) -> None:
    coarse, fine = increments(num_steps), increments(ratio * num_steps)
    summed = fine.reshape(num_steps, ratio, -1).sum(1) / math.sqrt(ratio)
    torch.testing.assert_close(summed, coarse, rtol=0, atol=2e-5)


@pytest.mark.parametrize(("few", "many"), [(10, 20), (5, 50), (20, 40), (25, 100)])
def test_snapped_coarse_increments_are_sums_of_fine_ones(few: int, many: int) -> None:
    (times, coarse), (fine_times, fine) = path_at_ends(few), path_at_ends(many)
    stride = many // few
    assert torch.equal(times, fine_times[::stride])
    torch.testing.assert_close(fine[stride - 1 :: stride], coarse, rtol=0, atol=2e-5)


@pytest.mark.parametrize(("few", "many"), [(18, 40), (20, 50), (7, 100), (10, 300), (100, 1000)])
def test_any_two_numbers_of_steps_read_one_path(few: int, many: int) -> None:
    """Increments of one W covary by the overlap of their intervals."""
    (times, _), (fine_times, path) = path_at_ends(few), path_at_ends(many)
    coarse, fine = increments(few), increments(many)
    lower = torch.maximum(times[:-1, None], fine_times[None, :-1])
    upper = torch.minimum(times[1:, None], fine_times[None, 1:])
    overlap = (upper - lower).clamp(min=0).double()
    expected = overlap / (times.diff()[:, None] * fine_times.diff()[None]).sqrt()
    covariance = coarse @ fine.T / coarse.shape[1]
    assert (covariance - expected).abs().max() < 5.5 / math.sqrt(coarse.shape[1])
    # The nearest that the fine path comes to the coarse increments over i/few, in a straight line.
    asked = torch.linspace(0, 1, few + 1, dtype=torch.float64)
    place = torch.searchsorted(fine_times.double(), asked).clamp(1, many)
    share = (asked - fine_times[place - 1]) / (fine_times[place] - fine_times[place - 1])
    path = torch.cat([torch.zeros_like(path[:1]), path])
    between = path[place - 1] + share[:, None] * (path[place] - path[place - 1])
    pairs = torch.stack([between.diff(dim=0), coarse])
    correlations = torch.stack([torch.corrcoef(pairs[:, i])[0, 1] for i in range(few)])
    assert correlations.mean() > 0.9
    assert correlations.min() > 0.85


@pytest.mark.parametrize("num_steps", [6, 150])
def test_paths_do_not_depend_on_the_batch(num_steps: int) -> None:
    whole = increments(num_steps, 0, 2500)
    parts = [increments(num_steps, *ends) for ends in [(0, 300), (300, 1500), (1500, 2500)]]
    assert torch.equal(torch.cat(parts, 1), whole)
    assert not torch.equal(increments(num_steps, 0, 2500, seed=2), whole)


def test_paths_of_different_samples_and_coordinates_are_independent() -> None:
    path = BrownianPath(Randomness(1), 0, 6, (3,))
    draws = torch.stack(list(path.increments(128))).double().flatten(1)
    correlation = torch.corrcoef(draws.T) - torch.eye(18)
    assert correlation.abs().max() < 5 / math.sqrt(128)


def test_sampling_noise() -> None:
    def noise(num_steps: int, start: int = 0, stop: int = 1500) -> SamplingNoise:
        return SamplingNoise(Randomness(4), start, stop, (2,), num_steps)

    first, second = noise(10), noise(20)
    assert torch.equal(first.prior(), second.prior())
    kinds = {
        "prior": first.prior(),
        "increment": first.next_increment(),
        "next increment": first.next_increment(),
        "fresh": first.fresh(),
        "next fresh": first.fresh(),
    }
    table = torch.stack(list(kinds.values())).flatten(1)
    assert table.shape == (5, 3000)
    assert (torch.corrcoef(table) - torch.eye(5)).abs().max() < 5 / math.sqrt(3000)
    part = noise(10, 900, 1100)
    again = [part.prior(), part.next_increment(), part.next_increment(), part.fresh(), part.fresh()]
    for whole, piece in zip(kinds.values(), again):
        assert torch.equal(whole[900:1100], piece)


def test_fresh_noise_does_not_disturb_the_path() -> None:
    plain = SamplingNoise(Randomness(4), 0, 50, (2,), 3)
    mixed = SamplingNoise(Randomness(4), 0, 50, (2,), 3)
    expected = [plain.next_increment() for _ in range(3)]
    for increment in expected:
        mixed.fresh()
        assert torch.equal(mixed.next_increment(), increment)
        mixed.fresh()
