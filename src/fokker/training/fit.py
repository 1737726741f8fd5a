"""Making sure that a trained model exists."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import torch
from filelock import Timeout

from fokker.machine.device import described
from fokker.machine.disk import writing
from fokker.machine.files import write_json_lines, write_text
from fokker.machine.folders import check_writable, make_folder
from fokker.machine.ranks import Ranks
from fokker.machine.signals import SIGNALS, Signals
from fokker.store.identity import versions
from fokker.store.models import EARLY, ModelFolder
from fokker.store.predecessor import Predecessor
from fokker.training.one_training import OneTraining, early, finish
from fokker.training.origin import Listener, Origin
from fokker.training.task import TrainingTask


@contextmanager
def _held(folder: ModelFolder, ranks: Ranks, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the model's lock in the block, so that one run after the other trains the model."""
    lock = folder.lock()

    def take(seconds: int) -> bool:
        for _ in range(max(1, seconds)):
            SIGNALS.ask()
            with suppress(Timeout), writing(Path(lock.lock_file)):
                lock.acquire(timeout=min(1, seconds))
                return True
        return False

    if not ranks.first_says(lambda: take(0)):
        say(f"another process trains {folder.path.name}; waiting for it")
        # The first rank answers every minute, so that the others do not take it for dead.
        while not ranks.first_says(lambda: take(60)):
            pass
    try:
        yield
    finally:
        if ranks.is_first:
            lock.release()


def obtain(
    task: TrainingTask,
    listener: Callable[[dict[str, Any], int], None],
    say: Callable[[str], None],
    signals: Signals,
) -> str:
    """Give the task's model its trained weights: found, continued or trained now.

    One run trains; others wait for it and then find the model. All ranks of a run get the weights.

    Args:
        task: the task, whose model is as built, untrained.
        listener: the function that is called with (metrics, step).
        say: the function that prints a line to the user.
        signals: the signals of the process, which are only noted until what is done is saved.
    Returns:
        `found`, `continued` or `trained`.
    Raises:
        DivergedError: at a loss that is not finite.
        InterruptedTraining: after a signal.
        Pruned: if the task's watch ends the training.
    """
    folder, ranks, retrain = task.folder, task.ranks, task.retrain
    with _held(folder, ranks, say), signals.held():
        if ranks.first_says(lambda: folder.is_complete) and not retrain:
            folder.load_into(task.training)
            return "found"
        if ranks.first_says(lambda: is_far_enough(folder, task)):
            folder.load_into(task.training)
            if ranks.is_first and not folder.is_usable:  # The last run was interrupted.
                finish(folder, task, EARLY, folder.steps_done)
            say(early(folder.steps_done, task))
            return "found"
        # A usable model stays until its successor is complete.
        work = ModelFolder(folder.path.with_name(f"{folder.path.name}.retrain"))
        work = work if ranks.first_says(lambda: retrain and folder.is_usable) else folder
        done = ranks.first_says(lambda: _begin(work, task))
        begun = done
        if not done and task.predecessor:
            begun = task.predecessor.step
            say(_continuation(task.predecessor, task))
        if task.earlier is not None:
            _make_earlier(task.earlier, task.device, say, signals)
        say(_announcement(task, begun))
        OneTraining(task, work, listener, say, signals, begun).run()
        task.model.made_from = ()
        if work is not folder and ranks.is_first:
            folder.take_over(work)
        if done == task.engine.max_steps:  # Only its last files were missing.
            return "found"
        return "continued" if done else "trained"


def _make_earlier(
    earlier: Origin, device: torch.device, say: Callable[[str], None], signals: Signals
) -> None:
    """Make the model of the stage before ready, with its averaged weights."""
    how = earlier.obtain(lambda *_: None, say, signals)
    say(f"earlier  {how}: {earlier.words}")
    earlier.task.training.formulation.to(device)
    earlier.task.training.use("ema")
    earlier.task.training.formulation.eval()


def is_far_enough(folder: ModelFolder, task: TrainingTask) -> bool:
    """Tell whether a model has reached a limit of the run and is not to be retrained."""
    limits = task.engine.limits
    has_begun = folder.steps_done > 0 and not task.retrain
    return has_begun and limits.are_reached(folder.steps_done, folder.seconds)


@final
@dataclass(frozen=True)
class Trained(Origin):
    """A training, which is carried out unless its model is found."""

    is_training: ClassVar[bool] = True

    @property
    def folder(self) -> ModelFolder:
        return self.task.folder

    @property
    def place(self) -> Path:
        return self.folder.path

    @property
    def is_ready(self) -> bool:
        is_there = self.folder.is_complete and not self.task.retrain
        return is_there or is_far_enough(self.folder, self.task)

    @property
    def state(self) -> str:
        task, done, max_steps = self.task, self.folder.steps_done, self.task.engine.max_steps
        if self.folder.is_complete and not task.retrain:
            return f"found: was trained for {done} steps"
        if self.is_ready:
            return f"found: stopped early at step {done} of {max_steps}"
        if done and not self.folder.is_complete:
            state = f"unfinished: would go on at step {done} of {max_steps}"
        else:
            size = task.model.data.batch_size
            state = f"new: would be trained for {max_steps} steps of {size} samples"
            if task.predecessor is not None:
                state += f", from step {task.predecessor.step} of {task.predecessor.name} on"
        limits = task.engine.limits.words
        return f"{state}, and ended early by {limits}" if limits else state

    def check(self) -> None:
        check_writable(self.folder.path)

    def obtain(self, listener: Listener, say: Callable[[str], None], signals: Signals) -> str:
        return obtain(self.task, listener, say, signals)

    @property
    def facts(self) -> dict[str, Any]:
        known = self.folder.record
        return {name: known.get(name) for name in ("images", "images_per_second")}


def _begin(work: ModelFolder, task: TrainingTask) -> int:
    """Write the files of a training that begins or goes on; return the steps that are done."""
    done = work.steps_done
    make_folder(work.path)
    write_text(work.config, task.config_text)
    key = task.folder.path.name
    work.write(
        **task.facts, key=key, status="training", versions=versions(),
        threads=_threads(work.record.get("threads") if done else None),
    )  # fmt: skip
    if not done and task.predecessor:
        write_json_lines(work.curves, task.predecessor.curve)
    return done


def _threads(before: object) -> int | list[int]:
    """Return the threads of each rank; if they changed between runs, all numbers in order."""
    now = torch.get_num_threads()
    known = [n for n in (before if isinstance(before, list) else [before]) if type(n) is int]
    known += [now] if known[-1:] != [now] else []
    return now if len(known) == 1 else known


def _continuation(predecessor: Predecessor, task: TrainingTask) -> str:
    """Describe which training is continued, and how its learning rate goes on."""
    schedule, max_steps = task.training.schedule, task.engine.max_steps
    before = predecessor.last_rate
    stretched = f"the cosine is now that of {max_steps:,} steps, and "
    return (
        f"continuing {predecessor.name} from its step {predecessor.step:,}: "
        f"{stretched if schedule.name == 'cosine' else ''}the learning rate goes on at "
        f"{schedule.rate(predecessor.step, max_steps):.2g}"
        f"{f', where it had ended at {before:.2g}' if before is not None else ''}"
    )


def _announcement(task: TrainingTask, done: int) -> str:
    """Describe what is trained, and where."""
    model, engine, size = task.model, task.engine, task.ranks.size
    parameters = sum(p.numel() for p in model.network.parameters())
    steps = f"{engine.max_steps:,} steps of {model.data.batch_size:,}"
    words = [f"{parameters:,} parameters", f"from step {done:,} of {steps}" if done else steps]
    where = described(task.device)
    words[-1] += f" on {where}" if size == 1 else f" on {size} ranks, each {where}"
    if engine.precision != "32-true":
        words.append(engine.precision)
    return f"training {task.folder.path.name}: {', '.join(words)}"
