"""Rates by milestones and by torch's schedulers: functions of the step, as torch has them."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

import tiny_runs
from fokker.store.curves import read_json_lines
from fokker.training.optimizers import Schedule


def schedule(**arguments: Any) -> Schedule:
    return Schedule(torch.optim.Adam, **{"lr": 0.2, "warmup_steps": 0, **arguments})


def rates(made: Schedule, steps: int) -> list[float]:
    return [made.rate(step, steps) for step in range(steps)]


# Milestones ----------------------------------------------------------------------------------


def test_the_rate_is_that_of_the_last_milestone() -> None:
    made = schedule(schedule="piecewise", milestones={6: 0.01, 3: 0.5})
    assert rates(made, 8) == pytest.approx([0.2] * 3 + [0.1] * 3 + [0.002] * 2)
    assert rates(made, 4) == pytest.approx([0.2] * 3 + [0.1])  # The steps of the training: nothing.


def test_a_warm_up_goes_with_milestones_and_with_schedulers_of_torch() -> None:
    made = schedule(schedule="piecewise", milestones={2: 0.5}, warmup_steps=4)
    assert rates(made, 5) == pytest.approx([0.05, 0.1, 0.075, 0.1, 0.1])
    made = schedule(schedule=partial(lr_scheduler.StepLR, step_size=2, gamma=0.5), warmup_steps=4)
    assert rates(made, 5) == pytest.approx([0.05, 0.1, 0.075, 0.1, 0.05])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"schedule": "piecewise"}, r"optimizer\.milestones must be given with"),
        ({"milestones": {3: 0.1}}, r"optimizer\.milestones go with optimizer\.schedule=piecewise"),
        ({"schedule": "piecewise", "milestones": {0: 0.1}}, r"a positive step.*got \{0: 0.1\}"),
        ({"schedule": "piecewise", "milestones": {3: -1.0}}, r"got \{3: -1.0\}"),
        ({"schedule": "piecewise", "milestones": {3: math.inf}}, r"got \{3: inf\}"),
    ],
)
def test_bad_milestones_are_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        schedule(**arguments)


# Torch's schedulers --------------------------------------------------------------------------

NODE = "torch.optim.lr_scheduler"
NESTED = (
    f"{{_target_: {NODE}.SequentialLR, milestones: [7], schedulers: [{{_target_: {NODE}.ConstantLR,"
    f" factor: 0.25, total_iters: 4}}, {{_target_: {NODE}.StepLR, step_size: 5, gamma: 0.5}}]}}"
)
CHAINED = (
    f"{{_target_: {NODE}.ChainedScheduler, schedulers: [{{_target_: {NODE}.ConstantLR,"
    f" factor: 0.25, total_iters: 4}}, {{_target_: {NODE}.ExponentialLR, gamma: 0.9}}]}}"
)


def nested(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
    first = lr_scheduler.ConstantLR(optimizer, 0.25, 4)
    return lr_scheduler.SequentialLR(
        optimizer, [first, lr_scheduler.StepLR(optimizer, 5, 0.5)], [7]
    )


def chained(optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
    parts = [
        lr_scheduler.ConstantLR(optimizer, 0.25, 4),
        lr_scheduler.ExponentialLR(optimizer, 0.9),
    ]
    return lr_scheduler.ChainedScheduler(parts)


@pytest.mark.parametrize(
    ("node", "make"),
    [
        (f"{{_target_: {NODE}.StepLR, step_size: 6}}", partial(lr_scheduler.StepLR, step_size=6)),
        (
            f"{{_target_: {NODE}.OneCycleLR, max_lr: 0.01, total_steps: '${{trainer.max_steps}}', "
            "cycle_momentum: false}",
            partial(
                lr_scheduler.OneCycleLR, max_lr=0.01, total_steps=20, cycle_momentum=False
            ),
        ),
        (NESTED, nested),
        (CHAINED, chained),
    ],
)  # fmt: skip
def test_rates_are_those_of_torch_in_a_loop(workdir: Path, node: str, make: Any) -> None:
    made = tiny_runs.compose_experiment(
        f"optimizer.schedule={node}", "optimizer.warmup_steps=0"
    ).task.training.schedule
    parameter = nn.Parameter(torch.zeros(1))
    parameter.grad = torch.ones(1)
    optimizer = torch.optim.Adam([parameter], lr=2e-3)
    scheduler, expected = make(optimizer), []
    for _ in range(20):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert len(set(expected)) > 2
    assert rates(made, 20) == expected
    backwards = [made.rate(step, 20) for step in reversed(range(20))]
    assert backwards[::-1] == expected


def test_a_scheduler_is_in_the_curve_and_in_the_key(workdir: Path) -> None:
    step = f"optimizer.schedule={{_target_: {NODE}.StepLR, step_size: 10}}"
    _, folder = tiny_runs.train(step, "optimizer.warmup_steps=0")
    rows = read_json_lines(folder.curves)
    assert [row["lr"] for row in rows] == pytest.approx([2e-3, 2e-3, 2e-4, 2e-4])
    names = {
        tiny_runs.compose_experiment(*overrides).task.folder.path.name
        for overrides in [
            (), (step,), (step.replace("10", "11"),),
            ("optimizer.schedule=piecewise", "optimizer.milestones={10: 0.1}"),
            ("optimizer.schedule=piecewise", "optimizer.milestones={11: 0.1}"),
        ]
    }  # fmt: skip
    assert len(names) == 5


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        (f"{{_target_: {NODE}.ReduceLROnPlateau}}", "ReduceLROnPlateau needs a metric"),
        (
            f"{{_target_: {NODE}.SequentialLR, milestones: [3], schedulers: "
            f"[{{_target_: {NODE}.ReduceLROnPlateau}}]}}",
            "ReduceLROnPlateau needs a metric",
        ),
        (
            f"{{_target_: {NODE}.OneCycleLR, max_lr: 0.1, total_steps: 20}}",
            "OneCycleLR changes betas of the optimizer too; say cycle_momentum: false",
        ),
        (
            f"{{_target_: {NODE}.OneCycleLR, max_lr: 0.1, total_steps: 9, cycle_momentum: false}}",
            "OneCycleLR cannot be made for 20 steps: Tried to step 10 times",
        ),
        (f"{{_target_: {NODE}.StepLR}}", "StepLR cannot be made for 20 steps: .*step_size"),
        (f"{{_target_: {NODE}.StepLR, size: 3}}", r"optimizer\.schedule\.size is not taken"),
        (
            f"{{_target_: {NODE}.StepLR, step_size: 3, gamma: -1.0}}",
            "StepLR gives -8e-05 at step 3",
        ),
        ("{_target_: torch.optim.Adam}", r"^optimizer\.schedule\._target_ must name a cl"),
        ("{_target_: os.system}", r"optimizer\.schedule\._target_ must name a class in"),
    ],
)
def test_what_is_no_function_of_the_step_is_refused(node: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        tiny_runs.compose_experiment(f"optimizer.schedule={node}")
