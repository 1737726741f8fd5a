"""Starts that are given: evenly spread quantiles, in any batches."""

import math

import pytest
import torch
from exact_cases import SAMPLERS

from fokker.diffusion.samplers import Euler, GivenStart, Heun, StartLaw, spread_quantiles
from fokker.diffusion.sde import EDM
from fokker.randomness import Randomness, SamplingNoise

COUNTS = [1, 2, 3, 4, 10, 12, 34, 100, 101, 1000, 4096]


@pytest.mark.parametrize("count", COUNTS)
def test_the_quantiles_are_all_midpoints_once(count: int) -> None:
    found = spread_quantiles(0, count, count)
    assert found.dtype == torch.float64
    expected = (torch.arange(count).double() + 0.5) / count
    assert torch.equal(found.sort().values, expected)


@pytest.mark.parametrize("count", COUNTS)
def test_any_run_of_them_is_a_slice_of_the_whole(count: int) -> None:
    whole = spread_quantiles(0, count, count)
    for start, stop in [(0, 1), (count // 3, count // 2), (count - 1, count), (0, count)]:
        assert torch.equal(spread_quantiles(start, stop, count), whole[start:stop])


@pytest.mark.parametrize("count", [100, 1000, 4096, 10_000, 25_000])
def test_every_run_is_evenly_spread(count: int) -> None:
    """The distance of its distribution function to the uniform one: log(n)/n, not 1/sqrt(n).

    The golden ratio is rounded to count, so that it is felt only up to runs of about sqrt(count).
    """
    for begin in (0, count // 2):
        for size in (10, 50, count // 3):
            stop = min(begin + size, count)
            part = spread_quantiles(begin, stop, count).sort().values
            steps = torch.arange(len(part) + 1).double() / len(part)
            apart = torch.maximum((part - steps[:-1]).abs(), (part - steps[1:]).abs()).max()
            bound = max((1 + math.log(len(part))) / len(part), 1.2 / math.sqrt(count))
            assert float(apart) < bound, (begin, size)


def test_neighbours_are_far_apart() -> None:
    """So that the first samples, which are shown, are not of one tail."""
    gaps = spread_quantiles(0, 1000, 1000).diff().abs()
    assert float(gaps.min()) > 0.3


def test_a_given_start_is_the_start() -> None:
    normal = torch.tensor([[-2.0], [0.0], [1.5]], dtype=torch.float64)
    law = StartLaw(torch.tensor([0.3]).double(), torch.tensor([0.25]).double())
    noise = GivenStart(normal)
    assert torch.equal(noise.prior(), normal)
    assert torch.equal(noise.prior(), normal)
    published = Heun(EDM(), 3).start(80.0, law, noise)
    torch.testing.assert_close(published, 0.3 + 80 * normal)
    matched = Heun(EDM(), 3, prior="matched").start(2.0, law, noise)
    torch.testing.assert_close(matched, 0.3 + math.sqrt(4.25) * normal)


def test_a_stochastic_sampler_is_told_what_to_choose() -> None:
    noise = GivenStart(torch.zeros(2, 1))
    for draw in (noise.next_increment, noise.fresh):
        with pytest.raises(ValueError, match=r"draws noise, but got none.*sampler=heun"):
            draw()


def test_the_steps_noise_is_handed_on() -> None:
    own = SamplingNoise(Randomness(0), 0, 4, (1,), 5)
    same = SamplingNoise(Randomness(0), 0, 4, (1,), 5)
    noise = GivenStart(torch.zeros(4, 1), own)
    for _ in range(3):
        assert torch.equal(noise.next_increment(), same.next_increment())
        assert torch.equal(noise.fresh(), same.fresh())


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_deterministic_samplers_ask_for_no_noise_and_others_do(name: str) -> None:
    """What `is_deterministic` says, on which quantiles rely."""
    sde = EDM()
    sampler = SAMPLERS[name](sde, 4)
    sigmas = torch.tensor([10.0, 3.0, 1.0, 0.1, 0.0], dtype=torch.float64)
    law = StartLaw(torch.zeros(1).double(), torch.ones(1).double() / 4)
    noise = GivenStart(torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None])

    def denoiser(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        level = sigma if sigma.dim() == 0 else sigma[:, None]
        return 0.25 / (0.25 + level**2) * x

    if sampler.is_deterministic:
        once, twice = (sampler(denoiser, sigmas, law, noise) for _ in range(2))
        assert torch.equal(once, twice)
        assert bool((once.diff(dim=0) > 0).all())
    else:
        with pytest.raises(ValueError, match="but got none"):
            sampler(denoiser, sigmas, law, noise)


def test_the_start_keeps_its_precision() -> None:
    """Float64 quantiles give float64 samples, by factors that are known."""
    z = torch.special.ndtri(spread_quantiles(0, 50, 50))[:, None]
    law = StartLaw(torch.zeros(1).double(), torch.zeros(1).double())
    sigmas = torch.tensor([5.0, 1.0, 0.0], dtype=torch.float64)
    found = Euler(EDM(), 2)(lambda x, sigma: 0.1 * x, sigmas, law, GivenStart(z))
    # dy/dsigma = (y - D)/sigma: y + (1 - 5)(0.9 y)/5, then D.
    torch.testing.assert_close(found, 5 * z * (1 - 4 * 0.9 / 5) * 0.1, rtol=1e-14, atol=0)
