"""Learning rates as functions of the step, and the largest gradient as it is applied."""

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tiny_runs
from fokker.formulation import Formulation
from fokker.training.optimizers import Schedule

# Plain gradient descent: a step is the rate times the gradient that was applied.
SGD = (
    "optimizer.optimizer._target_=torch.optim.SGD",
    "~optimizer.optimizer.betas",
    "optimizer.warmup_steps=0",
    "optimizer.schedule=constant",
    "optimizer.lr=1e-2",
    "trainer.max_steps=1",
)


def schedule(**arguments: Any) -> Schedule:
    return Schedule(torch.optim.Adam, **arguments)


# The rate ------------------------------------------------------------------------------------


def test_the_rate_rises_in_a_line_and_falls_as_a_half_cosine() -> None:
    made = schedule(lr=0.2, warmup_steps=4)
    rates = [made.rate(step, 20) for step in range(21)]
    assert rates[:5] == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.2])
    root = math.sqrt(0.5)
    assert rates[8] == pytest.approx(0.1 * (1 + root))  # a quarter of the way down
    assert rates[12] == pytest.approx(0.1)  # half
    assert rates[16] == pytest.approx(0.1 * (1 - root))
    assert rates[20] == pytest.approx(0, abs=1e-16)
    assert rates[19] == pytest.approx(0.2 * math.sin(math.pi / 32) ** 2)
    assert all(one > other for one, other in itertools.pairwise(rates[4:]))


def test_the_rate_stays_with_a_constant_schedule() -> None:
    made = schedule(lr=0.2, warmup_steps=4, schedule="constant")
    assert [made.rate(s, 20) for s in (0, 1, 3, 4, 10, 19)] == pytest.approx(
        [0.05, 0.1, 0.2, 0.2, 0.2, 0.2]
    )


def test_the_rate_without_a_warm_up() -> None:
    made = schedule(lr=0.2, warmup_steps=0)
    assert [made.rate(s, 8) for s in (0, 4, 8)] == pytest.approx([0.2, 0.1, 0.0])


def test_a_training_that_ends_in_its_warm_up_only_rises() -> None:
    for steps in (10, 100):
        made = schedule(lr=0.2, warmup_steps=100)
        assert [made.rate(s, steps) for s in (0, 4, 9)] == pytest.approx([0.002, 0.01, 0.02])


def test_the_rate_is_a_function_of_the_step_alone() -> None:
    made = schedule(lr=0.3, warmup_steps=7)
    forwards = [made.rate(step, 50) for step in range(50)]
    assert [made.rate(step, 50) for step in range(49, -1, -1)][::-1] == forwards


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"lr": 0.0}, r"optimizer\.lr must be positive, got 0"),
        ({"lr": -1e-3}, r"optimizer\.lr must be positive, got -0.001"),
        ({"lr": math.nan}, r"optimizer\.lr must be positive, got nan"),
        ({"warmup_steps": -1}, r"optimizer\.warmup_steps must not be negative, got -1"),
        ({"schedule": "linear"}, r"optimizer\.schedule must be cosine, .*, got linear"),
        ({"max_grad_norm": 0.0}, r"optimizer\.max_grad_norm must be positive or null, got 0"),
        ({"max_grad_norm": -1.0}, r"optimizer\.max_grad_norm must be positive or null, got -1"),
    ],
)
def test_bad_values_are_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        schedule(**arguments)


# As it is applied ----------------------------------------------------------------------------


def weights_of(model: Formulation) -> Tensor:
    return torch.cat([w.detach().flatten() for w in model.network.parameters()])


def first_gradient(*overrides: str) -> Tensor:
    """The gradient of the first step's mean loss, by autograd alone."""
    training = tiny_runs.compose_experiment(*overrides).task.training
    loss = training.formulation.losses(training.training_draws(0)).value.mean()
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, [*training.parameters()])])


def first_change(*overrides: str) -> Tensor:
    """How the first step changed the weights."""
    before = weights_of(tiny_runs.compose_experiment(*overrides).model)
    training, _ = tiny_runs.train(*overrides)
    return weights_of(training.formulation) - before


@pytest.mark.parametrize("share", [0.001, 0.5])
def test_a_longer_gradient_is_cut_and_keeps_its_direction(workdir: Path, share: float) -> None:
    gradient = first_gradient(*SGD)
    limit = share * float(gradient.norm())
    change = first_change(*SGD, f"optimizer.max_grad_norm={limit}")
    assert float(change.norm()) == pytest.approx(1e-2 * limit, rel=1e-3)
    cosine = torch.nn.functional.cosine_similarity(change, -gradient, dim=0)
    assert float(cosine) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("limit", ["null", "1e6"])
def test_a_shorter_gradient_is_left_as_it_is(workdir: Path, limit: str) -> None:
    gradient = first_gradient(*SGD)
    assert float(gradient.norm()) > 1e-3
    change = first_change(*SGD, f"optimizer.max_grad_norm={limit}")
    torch.testing.assert_close(change, -1e-2 * gradient, atol=1e-8, rtol=1e-4)


def test_the_first_step_s_rate_is_the_schedule_s(workdir: Path) -> None:
    warm = first_change(*SGD, "optimizer.max_grad_norm=null", "optimizer.warmup_steps=4")
    plain = first_change(*SGD, "optimizer.max_grad_norm=null")
    torch.testing.assert_close(warm, plain / 4, atol=1e-8, rtol=1e-4)
