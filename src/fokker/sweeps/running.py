"""The run of one job of a sweep, which is recorded in the job's folder."""

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
    """Return null: nobody watches."""


def run_in_sweep(
    config: DictConfig,
    choices: Choices,
    path: Path,
    ranks: Ranks = ALONE,
    watcher: Callable[[Path], Watch | None] = _nobody,
) -> bool:
    """Run one job of a sweep; record a failure in its folder, and let the other jobs go on.

    The output goes to output.txt there. A job is left alone if a living process runs it, or if this
    folder has a record. A job that a scheduler has requeued is run in spite of its record.

    Args:
        config: the configuration of the job.
        choices: the choices that the configuration was composed with.
        path: the folder of the job.
        ranks: the ranks that run the job together.
        watcher: the function that returns a watch for the job in a folder, or null; a watch sees
            the training curve and may end the training.
    Returns:
        True if the job was run here.
    """
    make_folder(path)  # It refuses a link.
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
    """Delete the folder of a job that a signal has ended before it wrote anything."""
    file = path / "output.txt"
    with suppress(OSError):
        if not (path / "run.json").exists() and file.stat().st_size == 0:
            file.unlink()
            path.rmdir()


def _take(lock: FileLock, path: Path) -> bool:
    """Take the lock of a job, and tell whether it was free and the job is not done."""
    # Retry briefly: a status check also holds the lock for a moment.
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
        watch = _watch_of(path, ranks, watcher)
        with SIGNALS.raised():
            run_job(config, choices, path, say, watch, ranks, facts_of_sweep(path))
    except Pruned as stop:
        print(f"pruned   {stop}", file=output)
    except Interrupted as stop:
        if ranks.is_first:
            print(f"fokker: {stop}", file=sys.stderr)
        raise SystemExit(stop.code) from stop  # The error is printed already.
    except DiskError:  # The disk would refuse the other jobs too.
        raise
    except SystemExit as error:
        if error.code in SIGNALLED:
            raise
        _keep_failure(error, path, ranks, perf_counter() - started, choices)
    except Exception as error:
        _keep_failure(error, path, ranks, perf_counter() - started, choices)
        if isinstance(error, LostRank):
            raise SystemExit(1) from error


def _watch_of(
    path: Path, ranks: Ranks, watcher: Callable[[Path], Watch | None]
) -> Watch | None:
    """Return what may end the training; the first rank sees the curve, and decides for all."""
    watch = watcher(path) if ranks.is_first else None
    is_watched = ranks.first_says(lambda: watch is not None)
    return _unasked if is_watched and watch is None else watch


def _keep_failure(
    error: BaseException, path: Path, ranks: Ranks, seconds: float, choices: Choices
) -> None:
    """Record the failure of a job, once for all its ranks."""
    if ranks.is_first:
        record_failure(path, error, seconds, overrides=list(choices.overrides))


def _unasked(metrics: Mapping[str, object], step: int) -> bool:
    return False


def facts_of_sweep(path: Path) -> dict[str, Any]:
    """Return the sweep and the swept values of the job in `path`; empty if no list has the job."""
    job = Study.read(path.parent).job_in(path)
    return {} if job is None else {"sweep": path.parent.name, "swept": job.swept}
