"""How gradients are made: over which ranks, in how many parts, in which precision."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from fokker.machine.ranks import ALONE, Ranks, local
from fokker.training.sharding import average_whole, norm_of, total_norm

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@final
@dataclass(frozen=True)
class Descent:
    """How a step's gradients are made; none of it changes them by more than rounding.

    Attributes:
        ranks: the processes that a batch is spread over.
        parts: into which a rank's share of a batch is cut, to be held in memory one by one.
        precision: of the network; preconditioning, loss, weights and averages are float32.
        compile: whether the network goes through `torch.compile`.
        is_sharded: whether each rank holds a part of the weights alone.
        scaler: of losses in `16-mixed`, so that small gradients are not rounded to 0.
    """

    ranks: Ranks = ALONE
    parts: int = 1
    precision: Precision = "32-true"
    compile: bool = False
    is_sharded: bool = False
    scaler: GradScaler | None = field(default=None, compare=False)

    @property
    def dtype(self) -> torch.dtype | None:
        """Of the network's multiplications, where it is not that of the weights."""
        return {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(self.precision)

    def scaled(self, objective: Tensor) -> Tensor:
        """What is differentiated."""
        return objective if self.scaler is None else self.scaler.scale(objective)

    def norm(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the norm of all together, whatever part of them this rank holds, float64."""
        if self.is_sharded:
            return total_norm(tensors, self.ranks)
        return norm_of(tensors)

    def finish(
        self, parameters: Sequence[nn.Parameter], optimizer: Optimizer, limit: float | None
    ) -> None:
        """What a step's gradients go through: averaged, in their true size, cut to a norm."""
        if self.is_sharded:
            average_whole(parameters, self.ranks)
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)
        if limit is not None:
            gradients = [p.grad for p in parameters if p.grad is not None]
            norm = self.norm(gradients)
            # To ask a device whether they are longer would mean to wait for it.
            if norm.device.type != "cpu" or not norm <= limit:
                # limit/inf is 0 and would end the learning without a word.
                factor = torch.where(norm.isfinite(), (limit / norm).clamp(max=1.0), math.nan)
                torch._foreach_mul_([local(g) for g in gradients], factor.to(gradients[0].dtype))

    def step(self, optimizer: Optimizer) -> None:
        """Let the optimiser step; not where a scaled gradient has overflowed."""
        if self.scaler is None:
            optimizer.step()
        else:
            self.scaler.step(optimizer)
            self.scaler.update()
