"""One job of a sweep, which is recorded in its folder."""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

from filelock import FileLock, Timeout
from omegaconf import DictConfig

from fokker.config.choices import Choices
from fokker.launch import slurm
from fokker.launch.job import SIGNALLED, run_job
from fokker.machine.disk import DiskError, writing
from fokker.machine.files import open_to_append
from fokker.machine.folders import make_folder
from fokker.machine.masking import masked
from fokker.machine.ranks import ALONE, LostRank, Ranks
from fokker.machine.signals import SIGNALS, Interrupted
from fokker.store.job_folders import job_lock, record_failure
from fokker.store.records import record_or_why
from fokker.sweeps.study import Study
from fokker.training.watching import Pruned, Watch


def _nobody(path: Path) -> None:
    """Nobody watches."""


def run_in_sweep(
    config: DictConfig,
    choices: Choices,
    path: Path,
    ranks: Ranks = ALONE,
    watcher: Callable[[Path], Watch | None] = _nobody,
) -> bool:
    """One job of a sweep, whose failure is recorded in its folder and ends nothing else.

    What it says goes to output.txt there. What a living process runs by now, or has run in this
    folder, is left alone, unless it is this same job of a scheduler, which was requeued.

    Args:
        watcher: gives what sees the training's curve of the job in a folder and may end it.
    Returns:
        whether it was run here.
    """
    make_folder(path)  # Which is no link of another's.
    lock = job_lock(path)
    if not ranks.first_says(lambda: _take(lock, path)):
        return False
    try:
        if not ranks.is_first:
            with open(os.devnull, "w") as nobody:
                _run_recorded(config, choices, path, ranks, nobody, watcher)
        else:
            file = path / "output.txt"
            with writing(file), open_to_append(file) as output:
                _run_recorded(config, choices, path, ranks, output, watcher)
    finally:
        if ranks.is_first:
            _leave_nothing_empty(path)
            lock.release()
    return True


def _leave_nothing_empty(path: Path) -> None:
    """Take away the folder of a job that a signal has ended before there was a record."""
    file = path / "output.txt"
    with suppress(OSError):
        if not (path / "run.json").exists() and file.stat().st_size == 0:
            file.unlink()
            path.rmdir()


def _take(lock: FileLock, path: Path) -> bool:
    """Hold a job that nobody holds and that is not done."""
    # Not at once: who looks whether a job is held holds it for a moment.
    with suppress(Timeout):
        lock.acquire(timeout=0.2, poll_interval=0.01)
        record, _ = record_or_why(path / "run.json")
        if not (path / "run.json").is_file() or slurm.is_requeued(record):
            return True
        lock.release()
    return False


def _run_recorded(
    config: DictConfig,
    choices: Choices,
    path: Path,
    ranks: Ranks,
    output: TextIO,
    watcher: Callable[[Path], Watch | None],
) -> None:
    started = perf_counter()

    def say(text: str) -> None:
        with writing(path / "output.txt"):
            print(masked(text), file=output, flush=True)

    try:
        # The curve is seen by the first rank, which decides for all.
        watch = watcher(path) if ranks.is_first else None
        if ranks.first_says(lambda: watch is not None) and watch is None:
            watch = _unasked
        with SIGNALS.raised():
            run_job(config, choices, path, say, watch, ranks, facts_of_sweep(path))
    except Pruned as stop:
        print(f"pruned   {stop}", file=output)
    except Interrupted as stop:
        if ranks.is_first:
            print(f"fokker: {stop}", file=sys.stderr)
        raise SystemExit(stop.code) from stop  # It is said.
    except DiskError:  # It would refuse the other jobs too.
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code in SIGNALLED:
            raise
        if ranks.is_first:
            seconds = perf_counter() - started
            record_failure(path, error, seconds, overrides=list(choices.overrides))
        if isinstance(error, LostRank):
            raise SystemExit(1) from error


def _unasked(metrics: Mapping[str, Any], step: int) -> bool:
    return False


def facts_of_sweep(path: Path) -> dict[str, Any]:
    """The sweep of the job in `path`, and the job's values of the swept keys; nothing without."""
    job = Study.read(path.parent).job_in(path)
    return {} if job is None else {"sweep": path.parent.name, "swept": job.swept}
