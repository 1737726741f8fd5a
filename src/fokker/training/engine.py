"""The engine of a training: devices and processes, precision, and the division of a batch."""

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
    """The engine of a training, which makes its lightning trainer.

    Args:
        accelerator: the kind of device; `auto`: a GPU if there is one.
        devices: the number of ranks on each machine, one for each device; `auto`: as many as were
            started or, if a single process was started, all GPUs.
        num_nodes: the number of machines.
        strategy: the place of the weights; `ddp`: every rank holds all; `fsdp`: each holds a part
            (lightning's ModelParallelStrategy); `auto`: there is one rank.
        precision: `32-true`, or `bf16-mixed` or `16-mixed` for only the network.
        max_steps: the number of optimizer steps.
        device_batch_size: the images that a device holds at once; null: its whole share of the
            batch.
        compile: whether the network goes through `torch.compile` in the training.
        max_time, limit_train_batches: the limits that end the training early, see `Limits.of`.
        deterministic, benchmark, detect_anomaly: the flags of lightning's trainer.
    Raises:
        ValueError: for a value out of range, or for values that exclude each other.
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
        max_time: object = None,
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
        """Return the number of parts into which each of `size` ranks cuts its share of a batch.

        Raises:
            ValueError: if a batch does not divide; the text has the nearest sizes that do.
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
        """Return the computation of gradients on this device and by these ranks."""
        scaler = GradScaler(device.type) if self.precision == "16-mixed" else None
        return Descent(
            ranks, self.parts(batch_size, ranks.size), self.precision, self._compile,
            self.is_sharded(ranks), scaler,
        )  # fmt: skip

    def is_sharded(self, ranks: Ranks) -> bool:
        """Tell whether each rank holds only a part of the weights."""
        return self.is_sharded_over(ranks.size)

    def is_sharded_over(self, size: int) -> bool:
        """Tell the same for a number of ranks, which may not have been started."""
        return self._strategy == "fsdp" and size > 1

    def trainer(
        self, device: torch.device, ranks: Ranks, callbacks: Sequence[L.Callback], folder: Path
    ) -> L.Trainer:
        """Make lightning's trainer, without what fokker does: loggers, checkpoints, progress."""
        strategy: Strategy = SingleDeviceStrategy(device=device)
        if self.is_sharded(ranks):
            strategy = ModelParallelStrategy(
                data_parallel_size=ranks.size, tensor_parallel_size=1,
                save_distributed_checkpoint=False,
            )  # fmt: skip
        elif ranks.size > 1:
            strategy = DDPStrategy(gradient_as_bucket_view=True)
        # The process group exists already, and torchrun's variables name its ranks.
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
        # At SIGTERM lightning would wait for the other ranks, wherever they are. It still calls
        # the handler that was set before.
        trainer._signal_connector._sigterm_notifier_fn = _nothing  # type: ignore[assignment]
        return trainer


def _nothing(number: object, frame: object) -> None:
    """Do nothing at a signal, which another handler takes care of."""
