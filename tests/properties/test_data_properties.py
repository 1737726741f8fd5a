"""Data of any place and scale, and streams that do not depend on how they are asked for."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from valid_parts import NOT_NUMBERS, check_named, examples, powers

from fokker.data import ToyData
from fokker.data.base import Shuffle
from fokker.distributions import Uniform
from fokker.randomness import BrownianPath, Randomness, SamplingNoise

signs = st.sampled_from([-1.0, 0.0, 1.0])


@st.composite
def boxes(draw: st.DrawFn, **options: object) -> ToyData:
    """Uniform data around any place, of any width."""
    centre, width = draw(signs) * draw(powers(1e-6, 1e6)), draw(powers(1e-6, 1e6))
    return ToyData(
        Uniform,
        low=centre - width,
        high=centre + width,
        dim=draw(st.integers(1, 3)),
        standardize=draw(st.booleans()),
        sigma_data=draw(st.none() | powers(1e-6, 1e6)),
        seed=draw(st.integers(0, 9)),
        **options,
    )


@st.composite
def cuts(draw: st.DrawFn, longest: int) -> list[int]:
    """Places in a stream, in order."""
    places = draw(st.lists(st.integers(0, longest), min_size=2, max_size=6))
    return sorted(places)


@given(boxes(), st.lists(st.floats(-3, 3), min_size=1, max_size=5))
@examples(50)
def test_units_go_there_and_back(data: ToyData, places: list[float]) -> None:
    shift, std = data.measured
    x = shift + std * torch.tensor(places, dtype=torch.float64)
    again = data.to_data(data.to_model(x))
    # The model's units are float32: a rounding of what is kept there, and one of x itself.
    kept = (x - data.shift).abs() + 1e-30 * data.scale
    assert ((again - x).abs() <= 2.0**-23 * kept + 2.0**-51 * (x.abs() + abs(shift))).all()
    y = torch.tensor(places, dtype=torch.float32)
    back = data.to_model(data.to_data(y))
    lost = 2.0**-51 * (abs(data.shift) / data.scale + y.double().abs())
    assert ((back - y).abs() <= 2.0**-22 * y.abs() + lost + 1e-30).all()


@given(boxes(), st.integers(0, 10**6))
@examples(30)
def test_standardised_data_have_mean_0_and_the_std_that_is_said(data: ToyData, start: int) -> None:
    """Of 4,000 points, to 5 standard errors."""
    x = data.batch(start, start + 4000).x.double()
    assert x.shape == (4000, *data.shape)
    assert torch.isfinite(x).all()
    shift, std = data.measured
    mean, spread = ((shift - data.shift) / data.scale, std / data.scale)
    rounding = 2.0**-51 * abs(shift) / data.scale + 2.0**-23 * abs(mean)
    assert (x.mean(0) - mean).abs().max() < 5 * spread / math.sqrt(4000) + rounding
    assert (x.std(0) / spread - 1).abs().max() < 0.05 + rounding / spread
    if data.standardize:
        assert mean == 0
        assert spread == pytest.approx(data.sigma_data, rel=1e-12)


@given(st.sampled_from([None, 1, 7, 1000]).flatmap(lambda n: boxes(num_points=n)), cuts(12_000))
@examples(30)
def test_a_stream_of_data_is_the_same_however_it_is_cut(data: ToyData, places: list[int]) -> None:
    parts = [data.batch(start, stop).x for start, stop in itertools.pairwise(places)]
    assert torch.equal(torch.cat(parts), data.batch(places[0], places[-1]).x)


@given(st.integers(1, 500), st.integers(0, 9), cuts(3000))
@examples(30)
def test_a_shuffle_is_the_same_however_it_is_cut(length: int, seed: int, places: list[int]) -> None:
    used, whole = Shuffle(Randomness(seed), length), Shuffle(Randomness(seed), length)
    parts = [used.places(start, stop) for start, stop in itertools.pairwise(places)]
    assert torch.equal(torch.cat(parts), whole.places(places[0], places[-1]))
    # And an epoch is every point once.
    assert used.places(2 * length, 3 * length).sort().values.tolist() == list(range(length))


shapes = st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple)


@given(st.integers(0, 9), shapes, cuts(3000), st.integers(0, 10**6))
@examples(30)
def test_noise_is_the_same_however_it_is_cut(
    seed: int, shape: tuple[int, ...], places: list[int], step: int
) -> None:
    places = [place * 16 // math.prod(shape) for place in places]

    def normal(start: int, stop: int) -> Tensor:
        return Randomness(seed).normal("noise", start, stop, shape, step)

    def uniform(start: int, stop: int) -> Tensor:
        return Randomness(seed).uniform("sigma", start, stop, step)

    for rows in (normal, uniform):
        parts = [rows(start, stop) for start, stop in itertools.pairwise(places)]
        assert torch.equal(torch.cat(parts), rows(places[0], places[-1]))


@given(st.integers(0, 9), st.integers(1, 40), cuts(2000), st.booleans())
@examples(20)
def test_a_sample_s_noise_is_its_own(
    seed: int, num_steps: int, places: list[int], fresh: bool
) -> None:
    def numbers(start: int, stop: int) -> Tensor:
        noise = SamplingNoise(Randomness(seed), start, stop, (2,), num_steps)
        draw = noise.fresh if fresh else noise.next_increment
        return torch.stack([noise.prior(), *(draw() for _ in range(num_steps))], dim=1)

    parts = [numbers(start, stop) for start, stop in itertools.pairwise(places)]
    assert torch.equal(torch.cat(parts), numbers(places[0], places[-1]))


@given(st.integers(0, 9), st.integers(0, 6).map(lambda k: 2**k), st.sampled_from([2, 4, 8]))
@examples(10)
def test_coarse_increments_are_sums_of_fine_ones(seed: int, num_steps: int, times: int) -> None:
    """One Brownian motion for all numbers of steps: to rounding where they lie on its ticks."""

    def path(count: int) -> Tensor:
        increments = BrownianPath(Randomness(seed), 0, 5, (2,)).increments(count)
        return torch.stack(list(increments)).double() / math.sqrt(count)

    coarse = path(num_steps)
    fine = path(times * num_steps).reshape(num_steps, times, 5, 2).sum(1)
    torch.testing.assert_close(coarse, fine, rtol=0, atol=1e-5)


# Refusals -----------------------------------------------------------------------------------------


@given(
    st.sampled_from([*NOT_NUMBERS, 0.0, -1.0, 1e-200, 1e200]),
    st.booleans(),
)
@examples(10)
def test_a_scale_that_no_model_has_is_refused(value: float, standardize: bool) -> None:
    with pytest.raises(ValueError) as caught:
        ToyData(Uniform, low=0, high=1, standardize=standardize, sigma_data=value)
    check_named(caught.value, ["data.sigma_data"])
