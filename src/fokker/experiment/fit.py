"""Making sure that a trained model exists."""

import logging
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning as L
from filelock import Timeout
from lightning.pytorch.callbacks import LambdaCallback

from fokker.experiment.callbacks import CtrlC, Curves, Intervals, Progress, Saving
from fokker.experiment.evaluate import Validation
from fokker.experiment.files import read_json_lines, write_text
from fokker.experiment.identity import versions
from fokker.experiment.models import ModelFolder
from fokker.experiment.watching import Watch, Watching
from fokker.formulations import Diffusion, DivergedError


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


class InterruptedTraining(SystemExit):
    """A training that was told to stop before its last step; what is done is saved.

    Args:
        code: the process' exit code.
        step: the steps that are saved.
        max_steps: those that were asked for.
    """

    def __init__(self, code: int, step: int, max_steps: int) -> None:
        super().__init__(code)
        self._steps = (step, max_steps)

    def __str__(self) -> str:
        step, max_steps = self._steps
        return f"stopped, saved at step {step} of {max_steps}; the same command goes on there"


def tell(curves: Path, listener: Callable[[dict[str, Any], int], object]) -> None:
    """Let a listener hear a curve that is there."""
    for row in read_json_lines(curves):
        listener(row, row["step"])


def obtain(
    model: Diffusion,
    folder: ModelFolder,
    trainer: Callable[..., L.Trainer],
    intervals: Intervals,
    config: str,
    facts: Mapping[str, Any],
    validation: Validation,
    listener: Callable[[dict[str, Any], int], None],
    say: Callable[[str], None],
    retrain: bool = False,
    watch: Watch | None = None,
) -> str:
    """Give the model its trained weights: found, continued or trained now.

    One process trains; others wait for it and then find the model.

    Args:
        model: as built, untrained.
        folder: of its identity.
        trainer: makes the lightning trainer.
        intervals: of logging and saving.
        config: the resolved configuration, as text.
        facts: for model.json.
        validation: of the model's data.
        listener: called with (metrics, step).
        say: tells the user what happens.
        retrain: train although the model is complete; it is replaced at the end.
        watch: may end the training before its last step.
    Returns:
        `found`, `continued` or `trained`.
    Raises:
        DivergedError: at a loss that is not finite.
        InterruptedTraining: after a signal.
        Pruned: if `watch` ends it.
    """
    lock = folder.lock()
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another process trains {folder.path.name}; waiting for it")
        lock.acquire()
    try:
        if folder.is_complete and not retrain:
            folder.load_into(model)
            return "found"
        # A complete model stays until its successor is.
        work = ModelFolder(folder.path.with_name(f"{folder.path.name}.retrain"))
        work = work if folder.is_complete else folder
        done = work.steps_done
        work.path.mkdir(parents=True, exist_ok=True)
        write_text(work.config, config)
        work.write(**facts, status="training", versions=versions())
        _train(model, work, trainer, intervals, validation, listener, watch)
        if work is not folder:
            # File by file, so that there is a complete model at every moment.
            for file in work.path.iterdir():
                file.replace(folder.path / file.name)
            work.path.rmdir()
        return "continued" if done else "trained"
    finally:
        lock.release()


def _train(
    model: Diffusion,
    folder: ModelFolder,
    trainer: Callable[..., L.Trainer],
    intervals: Intervals,
    validation: Validation,
    listener: Callable[[dict[str, Any], int], None],
    watch: Watch | None,
) -> None:
    # The order matters: a checkpoint has to hold what the curves have counted.
    listeners = [listener]
    curves = Curves(folder, intervals, validation.of_average, validation.floor, listeners)
    # A listener hears the curve from its start, which is before the last interruption.
    before = LambdaCallback(on_train_start=lambda *_: tell(folder.curves, listener))
    ctrl_c = CtrlC()  # Behind what saves.
    callbacks: list[L.Callback] = [curves, before, Saving(folder, intervals), ctrl_c]
    if watch is not None:
        callbacks.append(watching := Watching(folder, watch))
        listeners.append(watching.listen)
    model.data.cut_at(intervals.log_steps, intervals.validation_steps, intervals.save_steps)
    started = perf_counter()
    with _quiet_lightning():
        engine = trainer(
            callbacks=[*callbacks, Progress()], logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
            limit_val_batches=0, default_root_dir=folder.path, max_epochs=-1,
        )  # fmt: skip
        resume = folder.checkpoint if folder.checkpoint.is_file() else None
        code = 128 + signal.SIGTERM
        try:
            with ctrl_c.heard():
                engine.fit(model, model.data, ckpt_path=resume, weights_only=True)
        except SystemExit as stop:
            # Lightning leaves with 0 after SIGTERM and 1 after SIGINT.
            code = 128 + signal.SIGINT if stop.code == 1 else code
        except DivergedError:
            folder.write(status="diverged")
            raise
        except BaseException:
            folder.write(status="interrupted")
            raise
    seconds = folder.record.get("seconds", 0.0) + perf_counter() - started
    if engine.global_step < engine.max_steps:
        folder.write(status="interrupted", seconds=seconds)
        raise InterruptedTraining(code, folder.steps_done, engine.max_steps)
    folder.export(model)
    folder.write(
        status="complete",
        seconds=seconds,
        images=engine.max_steps * model.data.batch_size,
        parameters=sum(p.numel() for p in model.denoiser.parameters()),
    )
    if ctrl_c.asked:  # In the last block.
        raise KeyboardInterrupt
