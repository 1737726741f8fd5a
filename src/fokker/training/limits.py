"""Ends of a training before its last step, which a run may set."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Any, final

import lightning as L
import torch

from fokker.machine.named_files import one_line
from fokker.machine.ranks import Ranks
from fokker.training.module import Training
from fokker.training.signals import Stop


@final
@dataclass(frozen=True)
class Limits:
    """How far a run lets a training go, counted from the training's own start.

    A limit is no part of what a model is. One that has come so far is used as it is; a run whose
    limit is larger, or that has none, goes on with it, exactly.

    Attributes:
        steps: optimiser steps in all, below those of the whole training; null: no limit.
        seconds: of training in all, of all runs that came to an end; null: no limit.
        words: as they were typed.
    """

    steps: int | None = None
    seconds: float | None = None
    words: str = ""

    @classmethod
    def of(
        cls,
        max_steps: int,
        max_time: Any,
        limit_train_batches: float | None,
    ) -> "Limits":
        """Read lightning's keys, where a batch is an optimiser step.

        Args:
            max_steps: of the whole training.
            max_time: days, hours, minutes and seconds as `00:01:30:00` or `{hours: 1}`.
            limit_train_batches: steps, or a share of `max_steps` where it is a float.
        Raises:
            ValueError: if one is none.
        """
        steps = _steps(limit_train_batches, max_steps)
        given = {"max_time": max_time, "limit_train_batches": steps and limit_train_batches}
        typed = {k: str(v).replace("'", "") for k, v in given.items() if v is not None}
        words = " and ".join(f"trainer.{k}={v}" for k, v in typed.items())
        return cls(steps, _seconds(max_time), words)

    def are_reached(self, step: int, seconds: float) -> bool:
        """Whether a training that has come so far is to end."""
        by_steps = self.steps is not None and step >= self.steps
        return by_steps or (self.seconds is not None and seconds >= self.seconds)


def _steps(limit: float | None, max_steps: int) -> int | None:
    if limit is None:
        return None
    if limit <= 0 or (isinstance(limit, float) and limit > 1):
        raise ValueError(
            "trainer.limit_train_batches must be a number of optimiser steps, such as 100, or a "
            f"share of trainer.max_steps up to 1.0, such as 0.1, got {limit}"
        )
    steps = limit if isinstance(limit, int) else max(1, int(limit * max_steps))
    return steps if steps < max_steps else None


def _seconds(time: Any) -> float | None:
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
    """A limit is reached."""


@final
class Ending(L.Callback):
    """Ends a training where a limit is reached, in all ranks at once; behind what saves.

    Args:
        limits: of the run.
        ranks: of the training.
        seconds: of training before this run.
    """

    def __init__(self, limits: Limits, ranks: Ranks, seconds: float) -> None:
        self._limits, self._ranks = limits, ranks
        self._start = monotonic() - seconds

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: L.Trainer, pl_module: Training, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        is_over = self._limits.are_reached(trainer.global_step, monotonic() - self._start)
        if self._limits.seconds is not None:  # Ranks have clocks of their own.
            is_over = bool(self._ranks.largest(torch.tensor(is_over, dtype=torch.int)))
        if is_over and trainer.global_step < trainer.max_steps:
            raise Enough
