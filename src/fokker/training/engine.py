"""What a training runs on: devices and processes, precision, and how a batch is divided."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, final

import lightning as L
import torch
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import (
    DDPStrategy,
    ModelParallelStrategy,
    SingleDeviceStrategy,
    Strategy,
)
from torch.amp import GradScaler

from fokker.machine.ranks import Ranks
from fokker.training.descent import Descent, Precision
from fokker.training.limits import Limits

Device = Literal["auto", "cpu", "gpu"]
ACCELERATORS = {"cuda": "gpu"}


@final
class Engine:
    """Makes the lightning trainer of a training.

    Args:
        accelerator: what computes; `auto`: a GPU if there is one.
        devices: ranks on each machine, one a device; `auto`: as many as were started or, started
            as one process, all GPUs.
        num_nodes: machines.
        strategy: `ddp`: every rank holds all weights; `fsdp`: each holds a part (lightning's
            ModelParallelStrategy); `auto`: there is one rank.
        precision: `32-true`, or of the network alone `bf16-mixed`, `16-mixed`.
        max_steps: optimiser steps.
        device_batch_size: images that a device holds at once; null: its whole share of the batch.
        compile: whether the network goes through `torch.compile` in the training.
        max_time, limit_train_batches: end the training early, see `Limits.of`.
        deterministic, benchmark, detect_anomaly: as lightning's trainer has them, in the training.
    Raises:
        ValueError: for what cannot be together.
    """

    def __init__(
        self,
        accelerator: Device = "auto",
        devices: int | Literal["auto"] = 1,
        num_nodes: int = 1,
        strategy: Literal["auto", "ddp", "fsdp"] = "auto",
        precision: Precision = "32-true",
        max_steps: int = 2500,
        device_batch_size: int | None = None,
        compile: bool = False,
        max_time: Any = None,
        limit_train_batches: int | float | None = None,
        deterministic: bool | Literal["warn"] | None = None,
        benchmark: bool | None = None,
        detect_anomaly: bool = False,
    ) -> None:
        if device_batch_size is not None and device_batch_size < 1:
            raise ValueError(
                f"trainer.device_batch_size must be at least 1 or null, got {device_batch_size}"
            )
        if strategy == "fsdp" and precision == "16-mixed":
            raise ValueError(
                "trainer.precision=16-mixed does not go with trainer.strategy=fsdp, whose scaled "
                "gradients overflow in one rank and not in another; choose bf16-mixed or "
                "trainer=ddp"
            )
        self.max_steps = max_steps
        self.precision = precision
        self._strategy = strategy
        self._device_batch_size, self._compile = device_batch_size, compile
        self.limits = Limits.of(max_steps, max_time, limit_train_batches)
        self._flags: dict[str, Any] = {
            "deterministic": deterministic, "benchmark": benchmark,
            "detect_anomaly": detect_anomaly,
        }  # fmt: skip

    def parts(self, batch_size: int, size: int) -> int:
        """Into how many parts each of `size` ranks cuts its share of a batch, one after the other.

        Raises:
            ValueError: if a batch does not divide; says the nearest that do.
        """
        piece, share = self._device_batch_size, batch_size / size
        fits = piece is None or share <= piece or batch_size % (size * piece) == 0
        if batch_size % size == 0 and fits:
            return 1 if piece is None or share <= piece else batch_size // (size * piece)
        unit = size if piece is None or share < piece else size * piece
        around = (batch_size // unit * unit, -(-batch_size // unit) * unit)
        nearest = " or ".join(str(near) for near in around if near)
        pieces = f", each of whole trainer.device_batch_size={piece}" if unit > size else ""
        raise ValueError(
            f"data.batch_size must divide into {size} equal shares, one a rank{pieces}, got "
            f"{batch_size}; the nearest that does: {nearest}"
        )

    def descent(self, device: torch.device, ranks: Ranks, batch_size: int) -> Descent:
        """How gradients are made here."""
        scaler = GradScaler(device.type) if self.precision == "16-mixed" else None
        return Descent(
            ranks, self.parts(batch_size, ranks.size), self.precision, self._compile,
            self.is_sharded(ranks), scaler,
        )  # fmt: skip

    def is_sharded(self, ranks: Ranks) -> bool:
        """Whether each rank holds a part of the weights alone."""
        return self.is_sharded_over(ranks.size)

    def is_sharded_over(self, size: int) -> bool:
        """The same for so many ranks, which may not have been started."""
        return self._strategy == "fsdp" and size > 1

    def trainer(
        self, device: torch.device, ranks: Ranks, callbacks: Sequence[L.Callback], folder: Path
    ) -> L.Trainer:
        """Lightning's trainer, without what fokker does itself: loggers, checkpoints, the bar."""
        strategy: Strategy = SingleDeviceStrategy(device=device)
        if self.is_sharded(ranks):
            strategy = ModelParallelStrategy(
                data_parallel_size=ranks.size, tensor_parallel_size=1,
                save_distributed_checkpoint=False,
            )  # fmt: skip
        elif ranks.size > 1:
            strategy = DDPStrategy(gradient_as_bucket_view=True)
        # The group is there already, whatever started it, with its ranks in torchrun's words.
        plugins: Any = [TorchElasticEnvironment()] if ranks.size > 1 else None
        single: Any = [device.index or 0] if device.type == "cuda" else 1
        trainer = L.Trainer(
            accelerator=ACCELERATORS.get(device.type, device.type),
            devices=ranks.local_size if ranks.size > 1 else single,
            num_nodes=ranks.size // ranks.local_size, strategy=strategy, plugins=plugins,
            max_steps=self.max_steps, max_epochs=-1, callbacks=list(callbacks),
            default_root_dir=folder, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
            limit_val_batches=0, **self._flags,
        )  # fmt: skip
        # At SIGTERM lightning would wait for the other ranks, wherever they are. It calls the
        # handler that was there before too.
        trainer._signal_connector._sigterm_notifier_fn = _nothing  # type: ignore[assignment]
        return trainer


def _nothing(number: Any, frame: Any) -> None:
    """Hear a signal that somebody else heeds."""
