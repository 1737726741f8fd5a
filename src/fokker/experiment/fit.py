"""Making sure that a trained model exists."""

import copy
import logging
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning as L
import torch
from filelock import Timeout
from lightning.pytorch.callbacks import LambdaCallback

from fokker.device import described, peak_memory
from fokker.disk import DiskError, make_folder, short, write_text, writing
from fokker.experiment.callbacks import Curves, Progress, Saving, Speed
from fokker.experiment.curves import read_json_lines
from fokker.experiment.describing import description_of
from fokker.experiment.files import write_json_lines
from fokker.experiment.identity import versions
from fokker.experiment.limits import Ending, Enough
from fokker.experiment.models import EARLY, ModelFolder
from fokker.experiment.predecessor import Predecessor
from fokker.experiment.signals import InterruptedTraining, Stop, Stopping
from fokker.experiment.task import TrainingTask
from fokker.experiment.watching import Watching
from fokker.ranks import LostRank, Ranks, together
from fokker.signals import SIGNALS, Interrupted, Signals
from fokker.training import DivergedError
from fokker.training.data import StepBlocks


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Without lightning's notes on devices and on parts that are not used here."""
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
    """Let what a training asks of torch's algorithms end with it."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark


def tell(curves: Path, listener: Callable[[dict[str, Any], int], object]) -> None:
    """Let a listener hear a curve that is there."""
    for row in read_json_lines(curves):
        listener(row, row["step"])


@contextmanager
def _held(folder: ModelFolder, ranks: Ranks, say: Callable[[str], None]) -> Iterator[None]:
    """The one place where a model is trained: one run after the other."""
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
        # A word a minute, so that the other ranks do not take the first one for dead.
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

    One run trains; others wait for it and then find the model. All its ranks get the weights.

    Args:
        task: with the model as built, untrained.
        listener: called with (metrics, step).
        say: tells the user what happens.
        signals: of the process, which are noted until what is done is saved.
    Returns:
        `found`, `continued` or `trained`.
    Raises:
        DivergedError: at a loss that is not finite.
        InterruptedTraining: after a signal.
        Pruned: if the task's watch ends it.
    """
    folder, ranks, retrain = task.folder, task.ranks, task.retrain
    with _held(folder, ranks, say), signals.held():
        if ranks.first_says(lambda: folder.is_complete) and not retrain:
            folder.load_into(task.training)
            return "found"
        if ranks.first_says(lambda: is_far_enough(folder, task)):
            folder.load_into(task.training)
            if ranks.is_first and not folder.is_usable:  # It was interrupted here.
                _finish(folder, task, EARLY, folder.steps_done)
            say(_early(folder.steps_done, task))
            return "found"
        # A model that is in use stays until its successor is complete.
        work = ModelFolder(folder.path.with_name(f"{folder.path.name}.retrain"))
        work = work if ranks.first_says(lambda: retrain and folder.is_usable) else folder
        done = ranks.first_says(lambda: _begin(work, task))
        begun = done
        if not done and task.predecessor:
            begun = task.predecessor.step
            say(_continuation(task.predecessor, task))
        if task.earlier is not None:
            _make_earlier(task.earlier, say, signals)
        say(_announcement(task, begun))
        _train(task, work, listener, say, signals, begun)
        if work is not folder and ranks.is_first:
            folder.take_over(work)
        if done == task.engine.max_steps:  # Only its last files were not there.
            return "found"
        return "continued" if done else "trained"


def _make_earlier(earlier: TrainingTask, say: Callable[[str], None], signals: Signals) -> None:
    """Let the model of the stage before be ready, with its averaged weights."""
    how = obtain(earlier, lambda *_: None, say, signals)
    say(f"earlier  {how}: {short(earlier.folder.path)}")
    earlier.model.to(earlier.device)
    earlier.training.use("ema")
    earlier.model.eval()


def is_far_enough(folder: ModelFolder, task: TrainingTask) -> bool:
    """Whether a model has come to a limit of the run before it is complete."""
    limits = task.engine.limits
    has_begun = folder.steps_done > 0 and not task.retrain
    return has_begun and limits.are_reached(folder.steps_done, folder.seconds)


def _early(step: int, task: TrainingTask) -> str:
    return (
        f"stopped early at step {step:,} of {task.engine.max_steps:,} by "
        f"{task.engine.limits.words}; the same command finds the model as it is, and one "
        "with a larger limit or none goes on there"
    )


def _finish(folder: ModelFolder, task: TrainingTask, status: str, step: int) -> None:
    """Write the weights that others read, and then that the model may be used."""
    model = task.model
    exports = folder.export(task.training, description_of(task))
    folder.write(
        exports=exports,
        status=status,
        images=step * model.data.batch_size,
        parameters=sum(p.numel() for p in model.network.parameters()),
    )


def _begin(work: ModelFolder, task: TrainingTask) -> int:
    """Write what is trained; the steps that are done."""
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


def _threads(before: Any) -> int | list[int]:
    """The threads of each rank; of a training that went on with others all of them, in order."""
    now = torch.get_num_threads()
    known = [n for n in (before if isinstance(before, list) else [before]) if type(n) is int]
    known += [now] if known[-1:] != [now] else []
    return now if len(known) == 1 else known


def _continuation(predecessor: Predecessor, task: TrainingTask) -> str:
    """Say what is continued, and how its learning rate goes on."""
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
    """Say what is trained, and where."""
    model, engine, size = task.model, task.engine, task.ranks.size
    parameters = sum(p.numel() for p in model.network.parameters())
    steps = f"{engine.max_steps:,} steps of {model.data.batch_size:,}"
    words = [f"{parameters:,} parameters", f"from step {done:,} of {steps}" if done else steps]
    where = described(task.device)
    words[-1] += f" on {where}" if size == 1 else f" on {size} ranks, each {where}"
    if engine.precision != "32-true":
        words.append(engine.precision)
    return f"training {task.folder.path.name}: {', '.join(words)}"


def _train(
    task: TrainingTask,
    folder: ModelFolder,
    listener: Callable[[dict[str, Any], int], None],
    say: Callable[[str], None],
    signals: Signals,
    done: int,
) -> None:
    model, engine, ranks = task.model, task.engine, task.ranks
    intervals, device = task.intervals, task.device
    started = perf_counter()
    # The order matters: a checkpoint has to hold what the curves have counted.
    listeners = [listener]
    training = task.training
    curves = Curves(folder, intervals, ranks, listeners)
    # A listener hears the curve from its start, which is before the last interruption.
    before = LambdaCallback(on_train_start=lambda *_: tell(folder.curves, listener))
    callbacks: list[L.Callback] = [curves, *([before] if ranks.is_first else [])]
    # What ends it stands behind what saves.
    callbacks += [Saving(folder, intervals, ranks, description_of(task))]
    callbacks.append(Stopping(signals, ranks))
    callbacks.append(Ending(engine.limits, ranks, ranks.first_says(lambda: folder.seconds)))
    if task.watch is not None:
        callbacks.append(watching := Watching(folder, task.watch, ranks))
        listeners.append(watching.listen)
    ends = [engine.limits.steps] if engine.limits.steps else []
    cuts = (intervals.log_steps, intervals.validation_steps, intervals.save_steps, *ends)
    # What a strategy does to the weights it does for good.
    kept = {id(part): part for part in (model.data, *model.made_from)}
    trained = copy.deepcopy(training, kept) if engine.is_sharded(ranks) else training
    trained.descent = engine.descent(device, ranks, model.data.batch_size)

    def note(**facts: Any) -> None:
        if ranks.is_first:
            folder.write(**facts)

    def leave(status: str) -> None:
        with suppress(DiskError):  # It may be what ends the training.
            note(status=status)

    with (
        _quiet_lightning(),
        _flags_kept(),
        torch.random.fork_rng([device.index or 0] if device.type == "cuda" else []),
        trained.prepared(),
        model.data.made_ahead(),
    ):
        speed = Speed()
        last = min([engine.max_steps, *ends])
        watched = [speed, *callbacks, Progress(say, last)]
        trainer = engine.trainer(device, ranks, watched, folder.path)
        resume = task.predecessor.checkpoint if task.predecessor else None
        if ranks.first_says(folder.checkpoint.is_file):
            resume = folder.checkpoint
        number, is_enough = 0, False
        try:
            with together() if ranks.size > 1 else nullcontext():
                blocks = StepBlocks(trainer, engine.max_steps, cuts)
                trainer.fit(trained, blocks, ckpt_path=resume, weights_only=True)
        except Enough:
            is_enough = True
        except Stop:
            number = signals.asked
        except SystemExit:  # Lightning's way to leave after KeyboardInterrupt.
            number = signals.asked or signal.SIGINT
        except DivergedError:
            leave("diverged")
            raise
        except LostRank:
            signals.end()  # Who watches the ranks ends those that are left.
            leave("interrupted")
            raise
        except BaseException:
            leave("interrupted")
            raise
    step, max_steps = trainer.global_step, engine.max_steps
    seconds = folder.seconds + perf_counter() - started
    if step < max_steps and not is_enough:
        note(status="interrupted", seconds=seconds)
        raise InterruptedTraining(number, folder.steps_done or done, max_steps, done)
    if trained is not training:
        ranks.first_says(lambda: None)  # It has put its last save in its place.
        folder.load_into(training)
    training.share_buffers()
    per_second = speed.steps_per_second
    if is_enough and engine.limits.seconds and step != engine.limits.steps:
        seconds = max(seconds, engine.limits.seconds)  # By the clock of one of the ranks.
    note(
        seconds=seconds,
        images_per_second=per_second and round(per_second * model.data.batch_size, 1),
        **peak_memory(device),
    )
    if ranks.is_first:
        _finish(folder, task, EARLY if is_enough else "complete", step)
    if is_enough:
        say(_early(step, task))
    text = "stopped when the model was complete; the same command goes on from there"
    if signals.asked == signal.SIGINT:  # In the last block.
        raise KeyboardInterrupt(text)
    if signals.asked:
        raise Interrupted(signals.asked, text, has_advanced=True)
