"""How gradients are made: over which ranks, in how many parts, in which precision."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, final

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.optim import Optimizer

from fokker.ranks import ALONE, Ranks

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
        scaler: of losses in `16-mixed`, so that small gradients are not rounded to 0.
    """

    ranks: Ranks = ALONE
    parts: int = 1
    precision: Precision = "32-true"
    compile: bool = False
    scaler: GradScaler | None = field(default=None, compare=False)

    @classmethod
    def on(
        cls, device: torch.device, ranks: Ranks, parts: int, precision: Precision, compile: bool
    ) -> "Descent":
        """Descent on a device, with a scaler where the precision needs one."""
        scaler = GradScaler(device.type) if precision == "16-mixed" else None
        return cls(ranks, parts, precision, compile, scaler)

    @property
    def dtype(self) -> torch.dtype | None:
        """Of the network's multiplications, where it is not that of the weights."""
        return {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(self.precision)

    def parts_of(self, *rows: Tensor) -> Iterator[tuple[bool, tuple[Tensor, ...]]]:
        """Each part of some tensors with the same rows, and whether it is the last."""
        if self.parts == 1:
            yield True, rows
            return
        size = -(-len(rows[0]) // self.parts)
        cut = list(zip(*(torch.split(tensor, size) for tensor in rows)))
        for number, part in enumerate(cut, start=1):
            yield number == len(cut), part

    def scaled(self, objective: Tensor) -> Tensor:
        """What is differentiated."""
        return objective if self.scaler is None else self.scaler.scale(objective)

    def unscale(self, optimizer: Optimizer) -> None:
        """Give gradients their true size."""
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)

    def step(self, optimizer: Optimizer) -> None:
        """Let the optimiser step; not where a scaled gradient has overflowed."""
        if self.scaler is None:
            optimizer.step()
        else:
            self.scaler.step(optimizer)
            self.scaler.update()
