"""The computation of gradients: over which ranks, in how many parts, in which precision."""

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
    """The computation of a step's gradients; no choice changes them by more than rounding.

    Attributes:
        ranks: the processes that a batch is spread over.
        parts: the number of parts of a rank's share of a batch; memory holds one part at a time.
        precision: the precision of the network; preconditioning, loss, weights and averages are
            float32.
        compile: whether the network goes through `torch.compile`.
        is_sharded: whether each rank holds only a part of the weights.
        scaler: the scaler of losses in `16-mixed`, so that small gradients are not rounded to 0.
    """

    ranks: Ranks = ALONE
    parts: int = 1
    precision: Precision = "32-true"
    compile: bool = False
    is_sharded: bool = False
    scaler: GradScaler | None = field(default=None, compare=False)

    @property
    def dtype(self) -> torch.dtype | None:
        """Return the dtype of the network's multiplications; None if it is that of the weights."""
        return {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(self.precision)

    def scaled(self, objective: Tensor) -> Tensor:
        """Return what is differentiated: the objective, scaled if there is a scaler."""
        return objective if self.scaler is None else self.scaler.scale(objective)

    def norm(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the norm of all tensors together, float64, also if each rank holds only a part."""
        if self.is_sharded:
            return total_norm(tensors, self.ranks)
        return norm_of(tensors)

    def finish(
        self, parameters: Sequence[nn.Parameter], optimizer: Optimizer, limit: float | None
    ) -> None:
        """Complete a step's gradients: average what backward has not, unscale, clip the norm."""
        if self.is_sharded:
            average_whole(parameters, self.ranks)
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)
        if limit is not None:
            gradients = [p.grad for p in parameters if p.grad is not None]
            norm = self.norm(gradients)
            # On a device all gradients are multiplied: a comparison would wait for the device.
            if norm.device.type != "cpu" or not norm <= limit:
                # limit/inf is 0 and would silently end the learning; NaN is noticed.
                factor = torch.where(norm.isfinite(), (limit / norm).clamp(max=1.0), math.nan)
                torch._foreach_mul_([local(g) for g in gradients], factor.to(gradients[0].dtype))

    def step(self, optimizer: Optimizer) -> None:
        """Let the optimizer step, unless a scaled gradient has overflowed."""
        if self.scaler is None:
            optimizer.step()
        else:
            self.scaler.step(optimizer)
            self.scaler.update()
