"""Callbacks between blocks of steps: curves, checkpoints, progress and speed."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import Any, final

import lightning as L
import torch

from fokker.machine.disk import DiskError
from fokker.machine.files import append_json_line, write_json_lines
from fokker.machine.progress import Steps
from fokker.machine.ranks import Ranks
from fokker.store.checkpoints import DESCRIPTION
from fokker.store.curves import read_json_lines
from fokker.store.models import ModelFolder
from fokker.training.module import Training
from fokker.training.signals import Stop
from fokker.training.validation import floor_of, validate_average
from fokker.training.watching import Pruned


@final
@dataclass(frozen=True)
class Intervals:
    """The intervals of logging, validation and saving, in optimizer steps and seconds.

    Args:
        log_steps, validation_steps, save_steps, save_seconds: the distance from one to the next.
        extra: lightning's callbacks by name. If there is one, each batch is a single step, and
            `outputs` has its loss as `losses`. Checkpoints hold the states of the callbacks. A
            callback may change the weights, so that all are part of the model's key.
    Raises:
        ValueError: if an interval is not positive, or an entry of `extra` is no callback.
    """

    log_steps: int = 100
    validation_steps: int = 1000
    save_steps: int = 1000
    save_seconds: float = 30.0
    extra: dict[str, L.Callback] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            if key != "extra" and not value > 0:
                raise ValueError(f"callbacks.{key} must be positive, got {value}")
        for name, callback in self.extra.items():
            if not isinstance(callback, L.Callback):
                raise ValueError(
                    f"callbacks.extra.{name} must be a lightning.Callback, got {callback!r}; give "
                    "a node with the _target_ of one"
                )


Metrics = dict[str, Any]


@final
class Curves(L.Callback):
    """A writer of the training curves, to the model's folder and to listeners.

    The loss is the mean over the steps since the last row with a loss, however long the blocks. All
    ranks measure; the first one writes and calls the listeners.

    Args:
        folder: the folder where metrics.jsonl lies.
        intervals: the intervals of logging and validation.
        ranks: the ranks that validate together.
        listeners: the functions that are called with (metrics, step).
    """

    def __init__(
        self,
        folder: ModelFolder,
        intervals: Intervals,
        ranks: Ranks,
        listeners: list[Callable[[Metrics, int], None]],
    ) -> None:
        self._folder, self._intervals = folder, intervals
        self._ranks, self._listeners = ranks, listeners
        self._floor: float | None = None
        self._losses: list[float] = []

    def state_dict(self) -> dict[str, Any]:
        return {"losses": list(self._losses)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._losses = list(state_dict["losses"])

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        self._floor = floor_of(_training(pl_module).formulation)
        # The steps after the last save are made again, and so are their rows.
        kept = [r for r in read_json_lines(self._folder.curves) if r["step"] <= trainer.global_step]
        write_json_lines(self._folder.curves, kept)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: object,
        batch_idx: int,
    ) -> None:
        training = _training(pl_module)
        self._losses += outputs["losses"]
        step, last = trainer.global_step, trainer.global_step == trainer.max_steps
        row: Metrics = {}
        if last or step % self._intervals.log_steps == 0:
            row["loss"] = math.fsum(self._losses) / len(self._losses)
            if self._floor is not None:
                row.update(floor=self._floor, excess=row["loss"] - self._floor)
            row["lr"] = training.schedule.rate(step - 1, trainer.max_steps)
            self._losses = []
        if last or step % self._intervals.validation_steps == 0:
            row.update(validate_average(training, self._ranks))
        if row and trainer.is_global_zero:
            row = {"step": step, "images": step * training.formulation.data.batch_size, **row}
            append_json_line(self._folder.curves, row)
            for listener in self._listeners:
                listener(row, step)


def _training(pl_module: L.LightningModule) -> Training:
    """Return lightning's module as what it is in fokker."""
    assert isinstance(pl_module, Training)
    return pl_module


@final
class Saving(L.Callback):
    """A callback that saves a training's whole state: at intervals, at its end and on a stop.

    All ranks take part, since each may hold a part of the weights; the first one writes.

    Args:
        folder: the folder where last.ckpt lies.
        intervals: the intervals of saving.
        ranks: the ranks of the training.
        description: the model's description, so that a checkpoint can be used without other files.
    """

    def __init__(
        self, folder: ModelFolder, intervals: Intervals, ranks: Ranks, description: str
    ) -> None:
        self._folder, self._intervals, self._ranks = folder, intervals, ranks
        self._description = description
        self._saved, self._saved_at = -1, monotonic()
        self._between_blocks = False

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[DESCRIPTION] = self._description

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: object, batch_idx: int
    ) -> None:
        self._between_blocks = False

    def on_train_batch_end(self, trainer: L.Trainer, *_: object, **__: object) -> None:
        self._between_blocks = True
        waited = monotonic() - self._saved_at >= self._intervals.save_seconds
        is_due = trainer.global_step % self._intervals.save_steps == 0
        if is_due or bool(self._ranks.largest(torch.tensor(waited, dtype=torch.int))):
            self._save(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._save(trainer)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        # In the middle of a block the weights are ahead of the step that they would be saved
        # under; and weights that have diverged must not replace good ones. If an error comes in
        # only one rank, the others are elsewhere and cannot take part in a save.
        together = self._ranks.size == 1 or isinstance(exception, (Stop, Pruned))
        if self._between_blocks and together and not isinstance(exception, DiskError):
            self._save(trainer)

    def _save(self, trainer: L.Trainer) -> None:
        if trainer.global_step == self._saved:
            return
        if trainer.is_global_zero:
            self._folder.save(trainer.global_step, trainer.save_checkpoint)
        else:
            trainer.save_checkpoint(self._folder.checkpoint)
        self._saved, self._saved_at = trainer.global_step, monotonic()


@final
class Progress(L.Callback):
    """A display of how far a training is, and of its loss.

    Args:
        say: the function that prints a line to the user.
        last: the step at which the training will end.
    """

    def __init__(self, say: Callable[[str], None], last: int) -> None:
        self._say, self._last = say, last

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._steps = Steps(
            "training", self._last, self._say, trainer.global_step, trainer.is_global_zero
        )

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        losses = outputs["losses"]
        self._steps.advance(len(losses), f"loss {losses[-1]:.4g}")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._steps.close()


@final
class Speed(L.Callback):
    """A measurement of a training's speed, without what happens between the blocks of steps.

    It must be the first callback, so that it does not time the others at the end of a block. The
    first block warms up, and counts only if there is no other.
    """

    def __init__(self) -> None:
        self._blocks = self._steps = 0
        self._seconds = 0.0

    @property
    def steps_per_second(self) -> float | None:
        """Return the optimizer steps per second; None if there were no steps."""
        return self._steps / self._seconds if self._steps else None

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: object, batch_idx: int
    ) -> None:
        self._started = perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        if self._blocks == 1:
            self._steps, self._seconds = 0, 0.0
        self._blocks += 1
        self._steps += len(outputs["losses"])
        self._seconds += perf_counter() - self._started
