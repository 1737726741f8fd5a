"""The limits by which a run may end a training before its last step."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import final

import lightning as L
import torch

from fokker.machine.named_files import one_line
from fokker.machine.ranks import Ranks
from fokker.training.signals import Stop


@final
@dataclass(frozen=True)
class Limits:
    """The limits of a run on a training, counted from the training's own start.

    A limit is not part of the model's key. A model that has reached it is used as it is. A run with
    a larger limit, or without one, continues the training exactly.

    Attributes:
        steps: the optimizer steps in all, fewer than those of the whole training; null: no limit.
        seconds: the training time in all, over the runs that were not killed; null: no limit.
        words: the limits as they were typed.
    """

    steps: int | None = None
    seconds: float | None = None
    words: str = ""

    @classmethod
    def of(
        cls,
        max_steps: int,
        max_time: object,
        limit_train_batches: float | None,
    ) -> "Limits":
        """Read lightning's keys, in which a batch is an optimizer step.

        Args:
            max_steps: the number of steps of the whole training.
            max_time: days, hours, minutes and seconds as `00:01:30:00` or `{hours: 1}`.
            limit_train_batches: a number of steps, or a share of `max_steps` if it is a float.
        Raises:
            ValueError: if a value is not a limit.
        """
        steps = _steps(limit_train_batches, max_steps)
        given = {"max_time": max_time, "limit_train_batches": steps and limit_train_batches}
        typed = {k: str(v).replace("'", "") for k, v in given.items() if v is not None}
        words = " and ".join(f"trainer.{k}={v}" for k, v in typed.items())
        return cls(steps, _seconds(max_time), words)

    def are_reached(self, step: int, seconds: float) -> bool:
        """Tell whether a training is to end at this step, or after so many seconds."""
        by_steps = self.steps is not None and step >= self.steps
        return by_steps or (self.seconds is not None and seconds >= self.seconds)


def _steps(limit: float | None, max_steps: int) -> int | None:
    if limit is None:
        return None
    if limit <= 0 or (isinstance(limit, float) and limit > 1):
        raise ValueError(
            "trainer.limit_train_batches must be a number of optimizer steps, such as 100, or a "
            f"share of trainer.max_steps up to 1.0, such as 0.1, got {limit}"
        )
    steps = limit if isinstance(limit, int) else max(1, int(limit * max_steps))
    return steps if steps < max_steps else None


def _seconds(time: object) -> float | None:
    if time is None:
        return None
    names = ("days", "hours", "minutes", "seconds")
    parts: dict[str, float] = {}
    if isinstance(time, str) and (found := re.fullmatch(r"(\d+):(\d+):(\d+):(\d+)", time)):
        parts = dict(zip(names, map(int, found.groups()), strict=True))
    elif isinstance(time, Mapping) and {*time} <= {*names}:
        parts = {k: v for k, v in time.items() if isinstance(v, int | float) and v >= 0}
    seconds = timedelta(**parts).total_seconds()
    if not seconds > 0:
        raise ValueError(
            "trainer.max_time must be days, hours, minutes and seconds, such as 00:01:30:00 or "
            f"{{hours: 1, minutes: 30}}, and more than nothing, got {one_line(str(time))}"
        )
    return seconds


class Enough(Stop):
    """A stop of a training that has reached a limit."""


@final
class Ending(L.Callback):
    """A callback that ends a training at a limit, in all ranks at once; `Saving` precedes it.

    Args:
        limits: the limits of the run.
        ranks: the ranks of the training.
        seconds: the training time before this run.
    """

    def __init__(self, limits: Limits, ranks: Ranks, seconds: float) -> None:
        self._limits, self._ranks = limits, ranks
        self._start = monotonic() - seconds

    def on_train_batch_end(self, trainer: L.Trainer, *_: object, **__: object) -> None:
        is_over = self._limits.are_reached(trainer.global_step, monotonic() - self._start)
        if self._limits.seconds is not None:  # Each rank has its own clock.
            is_over = bool(self._ranks.largest(torch.tensor(is_over, dtype=torch.int)))
        if is_over and trainer.global_step < trainer.max_steps:
            raise Enough
