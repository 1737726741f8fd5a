"""Averages of weights, against the sums that they stand for."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fokker.training.ema import EMA


def module() -> nn.Module:
    made = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)).double()
    with torch.no_grad():
        for index, weight in enumerate(made.parameters()):
            weight.copy_(torch.linspace(-1, 2, weight.numel()).reshape(weight.shape) + index)
    return made


def walk(made: nn.Module, step: int) -> None:
    """Change every weight, each differently."""
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for weight in made.parameters():
            weight += torch.randn(weight.shape, generator=generator, dtype=weight.dtype)


def by_hand(batch_size: int, half_life: float, rampup: float | None, steps: int) -> list[Tensor]:
    """The average by its sum: each past weight with the product of the decays since."""
    made = module()
    past = [[w.detach().clone() for w in made.parameters()]]
    for step in range(steps):
        walk(made, step)
        past.append([w.detach().clone() for w in made.parameters()])
    decays = []
    for step in range(1, steps + 1):
        h = half_life if rampup is None else min(half_life, rampup * step * batch_size)
        decays.append(2.0 ** (-batch_size / h))
    shares = [math.prod(decays)]
    for step in range(1, steps + 1):
        shares.append((1 - decays[step - 1]) * math.prod(decays[step:]))
    assert math.fsum(shares) == pytest.approx(1)
    return [
        sum((share * w for share, w in zip(shares, weights)), torch.zeros_like(weights[0]))
        for weights in zip(*past)
    ]


@pytest.mark.parametrize("rampup", [None, 0.05, 0.6])
@pytest.mark.parametrize("batch_size", [4, 256])
def test_every_average_is_the_weighted_sum_of_the_weights(
    batch_size: int, rampup: float | None
) -> None:
    half_lives = (50, 1_000, 20)
    made, ema = module(), EMA(half_lives, rampup)
    ema.follow(made)
    for step in range(9):
        walk(made, step)
        ema.update((step + 1) * batch_size, batch_size)
    state = ema.state_dict()
    assert list(state) == ["ema_50", "ema_1000", "ema_20"]
    for half_life in half_lives:
        average = state[f"ema_{half_life}"]
        assert list(average) == [name for name, _ in made.named_parameters()]
        expected = by_hand(batch_size, half_life, rampup, 9)
        for one, other in zip(average.values(), expected):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
            assert not one.requires_grad  # or each step would hang on the one before


def test_after_a_half_life_half_of_the_past_is_left() -> None:
    made, ema = module(), EMA((1_024,), None)
    ema.follow(made)
    before = {name: w.detach().clone() for name, w in made.named_parameters()}
    walk(made, 0)
    for step in range(16):  # Whatever the batches are.
        ema.update(64 * (step + 1), 64)
    for name, weight in made.named_parameters():
        torch.testing.assert_close(ema.state_dict()["ema_1024"][name], (before[name] + weight) / 2)


def test_the_random_start_is_forgotten_with_the_ramp_up() -> None:
    """With a half-life of r n, the share of the start after n of batch B is (B/n)^(1/r)."""
    shares = {}
    for rampup in (0.05, 0.5):
        made, ema = nn.Linear(1, 1, bias=False).double(), EMA((10**9,), rampup)
        nn.init.ones_(made.weight)
        ema.follow(made)
        nn.init.zeros_(made.weight)
        for step in range(1_000):
            ema.update(step + 1, 1)
        shares[rampup] = float(ema.state_dict()["ema_1000000000"]["weight"])
    assert shares[0.05] < 1e-30
    # 2^(-sum 1/(r n)) = 2^(-H_1000/r), H_1000 = 7.4855.
    assert shares[0.5] == pytest.approx(2 ** (-7.485470860550345 / 0.5), rel=1e-9)


def test_the_average_begins_at_the_weights_and_does_not_change_them() -> None:
    made, ema = module(), EMA((100, 7))
    ema.follow(made)
    weights = {name: w.detach().clone() for name, w in made.named_parameters()}
    for average in ema.state_dict().values():
        for name, weight in weights.items():
            assert torch.equal(average[name], weight)
    ema.update(10, 10)
    for name, weight in made.named_parameters():
        assert torch.equal(weight, weights[name])


def test_weights_are_followed_to_new_storage() -> None:
    """As when a module is moved: the same parameters, other memory."""
    made, ema = module(), EMA((10,), None)
    ema.follow(made)
    for weight in made.parameters():
        weight.data = weight.data.clone()
        weight.data += 3.0
    before = {name: w.clone() for name, w in ema.state_dict()["ema_10"].items()}
    ema.update(10, 10)
    for name, average in ema.state_dict()["ema_10"].items():
        torch.testing.assert_close(average, before[name] + 1.5)


def test_a_saved_state_goes_on_as_if_nothing_had_been() -> None:
    made, whole = module(), EMA((50, 400), 0.3)
    whole.follow(made)
    for step in range(4):
        walk(made, step)
        whole.update((step + 1) * 8, 8)
    saved = {k: {n: w.clone() for n, w in a.items()} for k, a in whole.state_dict().items()}
    resumed, other = EMA((50, 400), 0.3), module()
    other.load_state_dict(made.state_dict())
    resumed.follow(other)
    resumed.load_state_dict(saved)
    for step in range(4, 7):
        for one, ema in ((made, whole), (other, resumed)):
            walk(one, step)
            ema.update((step + 1) * 8, 8)
    for name, average in whole.state_dict().items():
        for key, weight in average.items():
            assert torch.equal(resumed.state_dict()[name][key], weight)
    # What was saved is the caller's.
    assert not torch.equal(saved["ema_50"]["0.weight"], whole.state_dict()["ema_50"]["0.weight"])


def test_the_state_of_other_half_lives_is_refused() -> None:
    made, ema = module(), EMA((50,))
    ema.follow(made)
    other = EMA((50, 60))
    other.follow(made)
    with pytest.raises(ValueError, match=r"ema_50.*ema\.half_lives asks for.*ema_60"):
        other.load_state_dict(ema.state_dict())


def test_names_are_whole_numbers() -> None:
    assert EMA((50_000, 1_234_567, 2e6)).names == ["ema_50000", "ema_1234567", "ema_2000000"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"half_lives": ()}, r"ema\.half_lives must be one or more positive numbers, got \[\]"),
        ({"half_lives": (50, 0)}, r"ema\.half_lives must be one or more positive"),
        ({"half_lives": (-3,)}, r"got \[-3\]"),
        ({"half_lives": (math.nan,)}, r"got \[nan\]"),
        ({"half_lives": (50, 60, 50)}, r"ema\.half_lives must differ"),
        ({"rampup": 0.0}, r"ema\.rampup must be positive or null, got 0"),
        ({"rampup": -0.1}, r"ema\.rampup must be positive or null, got -0.1"),
    ],
)
def test_bad_values_are_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        EMA(**arguments)
