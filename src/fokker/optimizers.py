"""An optimiser with its learning rate over the steps."""

import math
from collections.abc import Callable, Iterable
from typing import Literal, final

from torch import Tensor
from torch.optim import Optimizer


@final
class Schedule:
    """How to minimise: a torch optimiser, its learning rate and the largest gradient.

    The rate rises in a line over `warmup_steps`, then stays or falls as a half cosine to 0 at the
    last step; it is a function of the step alone.

    Args:
        optimizer: makes the optimiser from parameters, as `torch.optim.Adam` does.
        lr: largest learning rate.
        warmup_steps: optimiser steps until it is reached.
        schedule: `cosine` or `constant` afterwards.
        max_grad_norm: gradients longer than this are cut to it; null for none.
    Raises:
        ValueError: if a number is not positive or the schedule unknown.
    """

    def __init__(
        self,
        optimizer: Callable[..., Optimizer],
        lr: float = 1e-3,
        warmup_steps: int = 100,
        schedule: Literal["cosine", "constant"] = "cosine",
        max_grad_norm: float | None = 1.0,
    ) -> None:
        if not lr > 0:
            raise ValueError(f"optimizer.lr must be positive, got {lr:g}")
        if warmup_steps < 0:
            raise ValueError(f"optimizer.warmup_steps must not be negative, got {warmup_steps}")
        if schedule not in ("cosine", "constant"):
            raise ValueError(f"optimizer.schedule must be cosine or constant, got {schedule}")
        if max_grad_norm is not None and not max_grad_norm > 0:
            raise ValueError(
                f"optimizer.max_grad_norm must be positive or null, got {max_grad_norm:g}"
            )
        self._make = optimizer
        self._lr, self._warmup_steps, self._schedule = lr, warmup_steps, schedule
        self.max_grad_norm = max_grad_norm

    def build(self, parameters: Iterable[Tensor]) -> Optimizer:
        """The optimiser of these parameters."""
        return self._make(parameters, lr=self._lr)

    def rate(self, step: int, max_steps: int) -> float:
        """Learning rate of a step, counted from 0."""
        rate = self._lr * min(1.0, (step + 1) / max(1, self._warmup_steps))
        if self._schedule == "cosine":
            left = max_steps - self._warmup_steps
            done = (step - self._warmup_steps) / left if left > 0 else 0.0
            rate *= (1 + math.cos(math.pi * min(1.0, max(0.0, done)))) / 2
        return rate
