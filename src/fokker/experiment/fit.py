"""Making sure that a trained model exists."""

import copy
import logging
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning as L
import torch
from filelock import Timeout
from lightning.pytorch.callbacks import LambdaCallback

from fokker.experiment.callbacks import Curves, Intervals, Progress, Saving
from fokker.experiment.engine import Engine
from fokker.experiment.evaluate import Validation
from fokker.experiment.files import read_json_lines, write_text
from fokker.experiment.identity import versions
from fokker.experiment.models import ModelFolder
from fokker.experiment.signals import Interrupted, InterruptedTraining, Signals, Stop
from fokker.experiment.watching import Watch, Watching
from fokker.formulations import Diffusion, DivergedError
from fokker.ranks import ALONE, LostRank, Ranks, together


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


def tell(curves: Path, listener: Callable[[dict[str, Any], int], object]) -> None:
    """Let a listener hear a curve that is there."""
    for row in read_json_lines(curves):
        listener(row, row["step"])


@contextmanager
def _held(folder: ModelFolder, ranks: Ranks, say: Callable[[str], None]) -> Iterator[None]:
    """The one place where a model is trained: one run after the other."""
    lock = folder.lock()

    def take(seconds: float) -> bool:
        with suppress(Timeout):
            lock.acquire(timeout=seconds)
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
    model: Diffusion,
    folder: ModelFolder,
    engine: Engine,
    device: torch.device,
    intervals: Intervals,
    config: str,
    facts: Mapping[str, Any],
    validation: Validation,
    listener: Callable[[dict[str, Any], int], None],
    say: Callable[[str], None],
    retrain: bool = False,
    watch: Watch | None = None,
    ranks: Ranks = ALONE,
    signals: Signals | None = None,
) -> str:
    """Give the model its trained weights: found, continued or trained now.

    One run trains; others wait for it and then find the model. All its ranks get the weights.

    Args:
        model: as built, untrained.
        folder: of its identity.
        engine: what it is trained on.
        device: of this process.
        intervals: of logging and saving.
        config: the resolved configuration, as text.
        facts: for model.json.
        validation: of the model's data.
        listener: called with (metrics, step).
        say: tells the user what happens.
        retrain: train although the model is complete; it is replaced at the end.
        watch: may end the training before its last step.
        ranks: the processes that train together.
        signals: of the run; null: they are heard for the training alone.
    Returns:
        `found`, `continued` or `trained`.
    Raises:
        DivergedError: at a loss that is not finite.
        InterruptedTraining: after a signal.
        Pruned: if `watch` ends it.
    """
    with _held(folder, ranks, say):
        if ranks.first_says(lambda: folder.is_complete) and not retrain:
            folder.load_into(model)
            return "found"
        # A complete model stays until its successor is.
        work = ModelFolder(folder.path.with_name(f"{folder.path.name}.retrain"))
        work = work if ranks.first_says(lambda: folder.is_complete) else folder
        done = ranks.first_says(lambda: _begin(work, config, facts))
        own = signals or Signals()
        with nullcontext() if signals else own.heard():
            _train(
                model, work, engine, device, intervals, validation, listener, watch, ranks, own,
                done,
            )  # fmt: skip
        if work is not folder and ranks.is_first:
            # File by file, so that there is a complete model at every moment.
            for file in work.path.iterdir():
                file.replace(folder.path / file.name)
            work.path.rmdir()
        return "continued" if done else "trained"


def _begin(work: ModelFolder, config: str, facts: Mapping[str, Any]) -> int:
    """Write what is trained; the steps that are done."""
    done = work.steps_done
    work.path.mkdir(parents=True, exist_ok=True)
    write_text(work.config, config)
    work.write(**facts, status="training", versions=versions())
    return done


def _train(
    model: Diffusion,
    folder: ModelFolder,
    engine: Engine,
    device: torch.device,
    intervals: Intervals,
    validation: Validation,
    listener: Callable[[dict[str, Any], int], None],
    watch: Watch | None,
    ranks: Ranks,
    signals: Signals,
    done: int,
) -> None:
    # The order matters: a checkpoint has to hold what the curves have counted.
    listeners = [listener]
    curves = Curves(folder, intervals, validation.of_average, validation.floor, listeners)
    # A listener hears the curve from its start, which is before the last interruption.
    before = LambdaCallback(on_train_start=lambda *_: tell(folder.curves, listener))
    callbacks: list[L.Callback] = [curves, *([before] if ranks.is_first else [])]
    callbacks += [Saving(folder, intervals, ranks), signals]  # It stands behind what saves.
    if watch is not None:
        callbacks.append(watching := Watching(folder, watch, ranks))
        listeners.append(watching.listen)
    model.data.cut_at(intervals.log_steps, intervals.validation_steps, intervals.save_steps)
    started = perf_counter()
    # What a strategy does to the weights it does for good.
    kept = {id(model.data): model.data}
    trained = copy.deepcopy(model, kept) if engine.is_sharded(ranks) else model
    trained.descent = engine.descent(device, ranks, model.data.batch_size)

    def note(**facts: Any) -> None:
        if ranks.is_first:
            folder.write(**facts)

    with _quiet_lightning(), trained.prepared(), signals.in_training(ranks):
        trainer = engine.trainer(device, ranks, [*callbacks, Progress()], folder.path)
        resume = folder.checkpoint if ranks.first_says(folder.checkpoint.is_file) else None
        number = 0
        try:
            with together() if ranks.size > 1 else nullcontext():
                trainer.fit(trained, model.data, ckpt_path=resume, weights_only=True)
        except Stop:
            number = signals.asked
        except SystemExit:  # Lightning's way to leave after KeyboardInterrupt.
            number = signal.SIGINT
        except DivergedError:
            note(status="diverged")
            raise
        except LostRank:
            signals.is_over = True  # Who watches the ranks ends those that are left.
            note(status="interrupted")
            raise
        except BaseException:
            note(status="interrupted")
            raise
    step, max_steps = trainer.global_step, engine.max_steps
    seconds = folder.record.get("seconds", 0.0) + perf_counter() - started
    if step < max_steps:
        note(status="interrupted", seconds=seconds)
        raise InterruptedTraining(number, folder.steps_done, max_steps, done)
    if trained is not model:
        folder.load_into(model)
    if ranks.is_first:
        folder.export(model)
    note(
        status="complete",
        seconds=seconds,
        images=max_steps * model.data.batch_size,
        parameters=sum(p.numel() for p in model.denoiser.parameters()),
    )
    if signals.asked == signal.SIGINT:  # In the last block.
        raise KeyboardInterrupt
    if signals.asked:
        text = "stopped when the model was complete; the same command goes on from there"
        raise Interrupted(signals.asked, text, has_advanced=True)
