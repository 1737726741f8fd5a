"""One training, from the last save in its folder to its end or interruption."""

import copy
import logging
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, final

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import LambdaCallback

from fokker.machine.device import peak_memory
from fokker.machine.disk import DiskError
from fokker.machine.ranks import LostRank, together
from fokker.machine.signals import Interrupted, Signals
from fokker.store.curves import read_json_lines
from fokker.store.models import EARLY, ModelFolder
from fokker.training.callbacks import Curves, Progress, Saving, Speed
from fokker.training.data import StepBlocks
from fokker.training.describing import description_of
from fokker.training.divergence import DivergedError
from fokker.training.limits import Ending, Enough
from fokker.training.module import Training
from fokker.training.signals import InterruptedTraining, Stop, Stopping
from fokker.training.task import TrainingTask
from fokker.training.watching import Watching

Listener = Callable[[dict[str, Any], int], None]


@final
@dataclass(frozen=True)
class OneTraining:
    """A training, from the last save in its folder to its end or interruption.

    Attributes:
        task: the task that is carried out.
        folder: the folder that is written, perhaps one next to the task's own.
        listener: the function that is called with (metrics, step).
        say: the function that prints a line to the user.
        signals: the signals of the process, which are only noted until what is done is saved.
        done: the number of steps that were done before.
    """

    task: TrainingTask
    folder: ModelFolder
    listener: Listener
    say: Callable[[str], None]
    signals: Signals
    done: int

    def run(self) -> None:
        """Carry out the training.

        Raises:
            DivergedError: at a loss that is not finite.
            InterruptedTraining: after a signal.
            Pruned: if the task's watch ends it.
        """
        task, started, speed = self.task, perf_counter(), Speed()
        trained = self._trained()
        with self._surroundings(trained):
            watched = [speed, *self._callbacks(), Progress(self.say, self._last)]
            trainer = task.engine.trainer(task.device, task.ranks, watched, self.folder.path)
            number, is_enough = self._fit(trainer, trained)
        step, max_steps = trainer.global_step, task.engine.max_steps
        seconds = self.folder.seconds + perf_counter() - started
        if step < max_steps and not is_enough:
            self._note(status="interrupted", seconds=seconds)
            raise InterruptedTraining(
                number, self.folder.steps_done or self.done, max_steps, self.done
            )
        if trained is not task.training:
            task.ranks.first_says(lambda: None)  # Wait until it has put its last save in place.
            self.folder.load_into(task.training)
        task.training.share_buffers()
        limits = task.engine.limits
        if is_enough and limits.seconds and step != limits.steps:
            seconds = max(seconds, limits.seconds)  # Another rank's clock may have ended it.
        self._complete(step, is_enough, seconds, speed.steps_per_second)

    # ---- what it is made of --------------------------------------------------------------

    @property
    def _ends(self) -> list[int]:
        """Return the step of a limit as a list, which is empty if no limit is one of steps."""
        limit = self.task.engine.limits.steps
        return [limit] if limit else []

    @property
    def _last(self) -> int:
        return min([self.task.engine.max_steps, *self._ends])

    def _trained(self) -> Training:
        """Return what lightning trains: a copy if weights are sharded, which cannot be undone."""
        task, model = self.task, self.task.model
        kept = {id(part): part for part in model.made_from}
        is_sharded = task.engine.is_sharded(task.ranks)
        trained = copy.deepcopy(task.training, kept) if is_sharded else task.training
        trained.descent = task.engine.descent(task.device, task.ranks, model.data.batch_size)
        return trained

    def _callbacks(self) -> list[L.Callback]:
        """Make the callbacks, the curves first: a checkpoint has to hold what they have counted."""
        task, folder, ranks = self.task, self.folder, self.task.ranks
        listeners: list[Callable[[dict[str, Any], int], None]] = [self.listener]
        callbacks: list[L.Callback] = [Curves(folder, task.intervals, ranks, listeners)]
        if ranks.is_first:  # A listener first gets the rows from before an interruption.
            hear = lambda *_: tell(folder.curves, self.listener)  # noqa: E731
            callbacks.append(LambdaCallback(on_train_start=hear))
        callbacks += task.intervals.extra.values()
        # The callbacks that end a training come after the one that saves.
        callbacks.append(Saving(folder, task.intervals, ranks, description_of(task)))
        callbacks.append(Stopping(self.signals, ranks))
        so_far = ranks.first_says(lambda: folder.seconds)
        callbacks.append(Ending(task.engine.limits, ranks, so_far))
        if task.watch is not None:
            callbacks.append(watching := Watching(folder, task.watch, ranks))
            listeners.append(watching.listen)
        return callbacks

    @contextmanager
    def _surroundings(self, trained: Training) -> Iterator[None]:
        """Prepare network and data for the block, silence lightning, and restore torch's state."""
        device = self.task.device
        forked = [device.index or 0] if device.type == "cuda" else []
        with (
            _quiet_lightning(),
            _flags_kept(),
            torch.random.fork_rng(forked),
            trained.prepared(),
            ExitStack() as ahead,
        ):
            own = self.task.model.data
            every = {id(data): data for data in (own, *self.task.data.values())}
            for data in every.values():
                ahead.enter_context(data.made_ahead(own.batch_size))
            yield

    # ---- steps ---------------------------------------------------------------------------

    def _fit(self, trainer: L.Trainer, trained: Training) -> tuple[int, bool]:
        """Train until something ends it; return a signal's number, and whether a limit did."""
        task, ranks = self.task, self.task.ranks
        intervals, engine = task.intervals, task.engine
        cuts = (intervals.log_steps, intervals.validation_steps, intervals.save_steps, *self._ends)
        if intervals.extra:  # Extra callbacks must not depend on where the clock ends a block.
            cuts = (1,)
        resume = task.predecessor.checkpoint if task.predecessor else None
        if ranks.first_says(self.folder.checkpoint.is_file):
            resume = self.folder.checkpoint
        try:
            with self._status_of_errors(), together() if ranks.size > 1 else nullcontext():
                blocks = StepBlocks(trainer, engine.max_steps, cuts)
                trainer.fit(trained, blocks, ckpt_path=resume, weights_only=True)
        except Enough:
            return 0, True
        except Stop:
            return self.signals.asked, False
        except SystemExit:  # Lightning exits by it after KeyboardInterrupt.
            return self.signals.asked or signal.SIGINT, False
        return 0, False

    @contextmanager
    def _status_of_errors(self) -> Iterator[None]:
        """Note in the model's record how an error has ended the training."""
        try:
            yield
        except (Enough, Stop, SystemExit):
            raise
        except DivergedError:
            self._leave("diverged")
            raise
        except LostRank:
            self.signals.end()  # The launcher ends the ranks that are left, by a signal.
            self._leave("interrupted")
            raise
        except MisconfigurationException as error:
            self._leave("interrupted")
            if not self.task.intervals.extra:
                raise
            why = f"{error}".rstrip(".")
            raise ValueError(f"callbacks.extra cannot be: {why}; remove it") from error
        except BaseException:
            self._leave("interrupted")
            raise

    def _complete(
        self, step: int, is_enough: bool, seconds: float, steps_per_second: float | None
    ) -> None:
        """Write the finished model, and then raise for a signal that came in the last block."""
        task, size = self.task, self.task.model.data.batch_size
        self._note(
            seconds=seconds,
            images_per_second=steps_per_second and round(steps_per_second * size, 1),
            **peak_memory(task.device),
        )
        if task.ranks.is_first:
            finish(self.folder, task, EARLY if is_enough else "complete", step)
        if is_enough:
            self.say(early(step, task))
        text = "stopped when the model was complete; the same command goes on from there"
        if self.signals.asked == signal.SIGINT:
            raise KeyboardInterrupt(text)
        if self.signals.asked:
            raise Interrupted(self.signals.asked, text, has_advanced=True)

    def _note(self, **facts: object) -> None:
        if self.task.ranks.is_first:
            self.folder.write(**facts)

    def _leave(self, status: str) -> None:
        with suppress(DiskError):  # The disk may be what ends the training.
            self._note(status=status)


def finish(folder: ModelFolder, task: TrainingTask, status: str, step: int) -> None:
    """Export the weights, and then mark the model as usable."""
    model = task.model
    exports = folder.export(task.training, description_of(task))
    folder.write(
        exports=exports,
        status=status,
        images=step * model.data.batch_size,
        parameters=sum(p.numel() for p in model.network.parameters()),
    )


def early(step: int, task: TrainingTask) -> str:
    """Describe that a limit has ended a training."""
    return (
        f"stopped early at step {step:,} of {task.engine.max_steps:,} by "
        f"{task.engine.limits.words}; the same command finds the model as it is, and one "
        "with a larger limit or none goes on there"
    )


def tell(curves: Path, listener: Callable[[dict[str, Any], int], object]) -> None:
    """Call a listener with each row of a curve that is there."""
    for row in read_json_lines(curves):
        listener(row, row["step"])


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence lightning's notes on devices and on parts that are not used here."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning.*")
            warnings.filterwarnings("ignore", module="torch.optim.lr_scheduler")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _flags_kept() -> Iterator[None]:
    """Restore torch's flags for its algorithms at the end of the block."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
