"""An optimizer with its learning rate over the steps."""

import inspect
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Literal, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer, SparseAdam
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau


@final
class Schedule:
    """A torch optimizer, its learning rate over the steps, and the largest norm of a gradient.

    The rate depends only on the step, counted from 0, and on the training's number of steps:

        rate(step) = lr min(1, (step + 1)/warmup_steps) factor(step)

    The factor is 1 (`constant`), a half cosine from 1 after the warm-up to 0 at the end (`cosine`),
    or the factor of the last milestone (`piecewise`). A scheduler of torch gives the product
    `lr factor(step)`: it is stepped once through the whole training, before that begins, with a
    throwaway optimizer, and its rates are kept.

    Args:
        optimizer: what makes the optimizer from parameters, such as `torch.optim.Adam`.
        lr: the largest learning rate.
        warmup_steps: the optimizer steps in which the rate rises linearly, whatever the schedule.
        schedule: `cosine`, `constant`, `piecewise`, or a function that makes a scheduler of torch
            from an optimizer; schedulers in its arguments are made with the same optimizer.
        max_grad_norm: the norm to which longer gradients are cut; null: no limit.
        milestones: the factors of `piecewise`, each by the step from which on it holds.
    Raises:
        ValueError: if a number is out of range, or the schedule is unknown or needs a metric.
    """

    def __init__(
        self,
        optimizer: Callable[..., Optimizer],
        lr: float = 1e-3,
        warmup_steps: int = 100,
        schedule: (
            Literal["cosine", "constant", "piecewise"] | Callable[..., LRScheduler]
        ) = "cosine",
        max_grad_norm: float | None = 1.0,
        milestones: dict[int, float] | None = None,
    ) -> None:
        if not 0 < lr < math.inf:
            rule = "finite" if lr > 0 else "positive"
            raise ValueError(f"optimizer.lr must be {rule}, got {lr:g}")
        if warmup_steps < 0:
            raise ValueError(f"optimizer.warmup_steps must not be negative, got {warmup_steps}")
        if isinstance(schedule, str) and schedule not in ("cosine", "constant", "piecewise"):
            raise ValueError(
                "optimizer.schedule must be cosine, constant, piecewise or a scheduler of torch, "
                f"got {schedule}"
            )
        if max_grad_norm is not None and not max_grad_norm > 0:
            raise ValueError(
                f"optimizer.max_grad_norm must be positive or null, got {max_grad_norm:g}"
            )
        _check_milestones(milestones, schedule == "piecewise")
        if not isinstance(schedule, str):
            _check_kinds(schedule)
        self._make = optimizer
        self._lr, self._warmup_steps, self._schedule = lr, warmup_steps, schedule
        self._milestones = dict(sorted((milestones or {}).items()))
        self._rates: dict[int, list[float]] = {}
        self.max_grad_norm = max_grad_norm

    @property
    def name(self) -> str:
        """Return the name of the schedule: `cosine`, or the class of a scheduler."""
        if isinstance(self._schedule, str):
            return self._schedule
        made = self._schedule.func if isinstance(self._schedule, partial) else self._schedule
        return str(getattr(made, "__name__", made))

    def build(self, parameters: Iterable[Tensor]) -> Optimizer:
        """Make the optimizer of these parameters.

        Raises:
            ValueError: if it cannot be made, is no optimizer, or needs more than dense gradients.
        """
        try:
            made = self._make(parameters, lr=self._lr)
        except (AttributeError, TypeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
        if not isinstance(made, Optimizer):
            raise ValueError(
                "optimizer.optimizer must make a torch.optim.Optimizer, got "
                f"{type(made).__name__}; let optimizer.optimizer._target_ name what does"
            )
        needed = inspect.signature(made.step).parameters.values()
        is_sparse = isinstance(made, SparseAdam)
        if is_sparse or any(p.default is p.empty for p in needed):
            raise ValueError(
                f"{type(made).__name__} must step by dense gradients alone, and needs "
                f"{'sparse ones' if is_sparse else 'the loss as a closure too'}; choose another, "
                "such as torch.optim.Adam"
            )
        return made

    def restore_numbers(self, optimizer: Optimizer) -> None:
        """Give an optimizer whose state was read from a file the numbers that are asked for.

        The file has its own betas, decay and so on, which would silently replace them.
        """
        for group in optimizer.param_groups:
            group.update({k: v for k, v in optimizer.defaults.items() if k in group})

    def state_names(self) -> list[str]:
        """Return the names of what the optimizer keeps of each parameter, such as `exp_avg`."""
        parameter = nn.Parameter(torch.zeros(1))
        optimizer = self.build([parameter])
        parameter.grad = torch.ones(1)
        optimizer.step()
        return sorted(optimizer.state[parameter])

    def check(self, max_steps: int) -> None:
        """Refuse a schedule that has no valid rate for one of the steps of a training.

        Raises:
            ValueError: if a rate is negative or not finite, or the scheduler cannot be made.
        """
        for step in range(max_steps) if not isinstance(self._schedule, str) else ():
            rate = self.rate(step, max_steps)
            if not 0 <= rate < math.inf:
                raise ValueError(
                    f"optimizer.schedule must give rates that are finite and not negative, and "
                    f"{self.name} gives {rate:g} at step {step} of {max_steps}; change its numbers"
                )

    def rate(self, step: int, max_steps: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        warm = min(1.0, (step + 1) / max(1, self._warmup_steps))
        if not isinstance(self._schedule, str):
            if max_steps not in self._rates:
                self._rates[max_steps] = self._stepped(self._schedule, max_steps)
            return self._rates[max_steps][step] * warm
        rate = self._lr * warm
        if self._schedule == "cosine":
            left = max_steps - self._warmup_steps
            done = (step - self._warmup_steps) / left if left > 0 else 0.0
            rate *= (1 + math.cos(math.pi * min(1.0, max(0.0, done)))) / 2
        for milestone, factor in reversed(self._milestones.items()):
            if step >= milestone:
                return rate * factor
        return rate

    def _stepped(self, schedule: Callable[..., LRScheduler], max_steps: int) -> list[float]:
        """Return the rates of all steps, by a scheduler of torch."""
        optimizer, rates = self.build([nn.Parameter(torch.zeros(1))]), []
        group = optimizer.param_groups[0]
        before = {k: v for k, v in group.items() if k not in ("params", "lr")}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Torch warns that the optimizer did not step.
            try:
                scheduler = _made(schedule, optimizer)
                for step in range(max_steps):
                    if step > 0:
                        scheduler.step()
                    rates.append(float(group["lr"]))
                    _check_kept(self.name, before, group)
            except Exception as error:
                if "optimizer.schedule" in str(error):
                    raise
                raise ValueError(
                    f"optimizer.schedule={self.name} cannot be made for {max_steps} steps: "
                    f"{str(error) or type(error).__name__}"
                ) from error
        return rates


def _made(schedule: Callable[..., LRScheduler], optimizer: Optimizer) -> LRScheduler:
    """Make the scheduler of an optimizer, and before it those in its arguments."""
    inner = {
        key: [_made(part, optimizer) for part in parts]
        for key, parts in _arguments(schedule).items()
        if isinstance(parts, list) and parts and all(map(_is_scheduler, parts))
    }
    return schedule(optimizer=optimizer, **inner)


def _arguments(schedule: object) -> Mapping[str, Any]:
    return schedule.keywords if isinstance(schedule, partial) else {}


def _is_scheduler(part: object) -> bool:
    kind = part.func if isinstance(part, partial) else None
    return isinstance(kind, type) and issubclass(kind, LRScheduler)


def _all_parts(schedule: object) -> Iterator[object]:
    """Yield what makes a schedule, and what makes those in its arguments."""
    yield schedule.func if isinstance(schedule, partial) else schedule
    for value in _arguments(schedule).values():
        for part in value if isinstance(value, list) else ():
            if _is_scheduler(part):
                yield from _all_parts(part)


def _check_kinds(schedule: object) -> None:
    for kind in _all_parts(schedule):
        if isinstance(kind, type) and not issubclass(kind, LRScheduler):
            raise ValueError(
                "optimizer.schedule must make a scheduler, as the classes of "
                f"torch.optim.lr_scheduler do, got {kind.__name__}"
            )
        if isinstance(kind, type) and issubclass(kind, ReduceLROnPlateau):
            raise ValueError(
                "optimizer.schedule must be a function of the step, and ReduceLROnPlateau needs a "
                "metric; choose another, such as piecewise or torch.optim.lr_scheduler.StepLR"
            )


def _check_kept(name: str, before: Mapping[str, object], group: Mapping[str, object]) -> None:
    changed = [key for key, value in before.items() if group[key] != value]
    if changed:
        raise ValueError(
            f"optimizer.schedule must change the rate alone, and {name} changes {changed[0]} of "
            "the optimizer too; say cycle_momentum: false in it, or choose another"
        )


def _check_milestones(milestones: Mapping[int, float] | None, is_piecewise: bool) -> None:
    rule = "a positive step and the factor of optimizer.lr that holds from there, {1000: 0.1}"
    if is_piecewise and not milestones:
        raise ValueError(
            f"optimizer.milestones must be given with optimizer.schedule=piecewise: {rule}"
        )
    if milestones and not is_piecewise:
        raise ValueError(
            "optimizer.milestones go with optimizer.schedule=piecewise; say this too, or remove "
            "them"
        )
    for step, factor in (milestones or {}).items():
        if type(step) is not int or step < 1 or not 0 <= factor < math.inf:
            raise ValueError(f"optimizer.milestones must be {rule}, got {{{step}: {factor}}}")
