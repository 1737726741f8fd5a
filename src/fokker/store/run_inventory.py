"""The runs of an output folder: their status, their size, and the deletion of some.

Nothing here needs torch, so that `fokker task=runs` answers at once.
"""

import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, final

from filelock import Timeout

from fokker.machine.disk import DamagedError
from fokker.machine.locks import held, is_held
from fokker.store.job_folders import DAMAGED, job_lock
from fokker.store.job_names import TRIAL_NAME, job_id, job_name
from fokker.store.listing import (
    DELETED,
    MEGABYTE,
    folders_in,
    listed,
    remove_deleted,
    size_of,
    typed_text,
)
from fokker.store.records import FormatError, read_record, record_or_why
from fokker.store.run_files import check_unchanged

SAMPLES = "samples.npz"
#: The statuses of the runs that `delete=failed` deletes.
NOT_DONE = ("failed", "diverged", "interrupted", "killed")
#: The status of a folder that this user may not read.
UNREAD = "unread"
#: The status of a run that another version of fokker wrote.
OF_ANOTHER = "of another version"
_NO_METRIC = ("num_steps", "nfe")


@final
@dataclass(frozen=True)
class Run:
    """One run below outputs/runs, or one job of a sweep, with all its attempts.

    Attributes:
        name: the name of the folder, or `<sweep>/<job>` of a job.
        folders: the folders of all attempts, the last attempt at the end.
        status: the status in run.json; `killed` if that says `running` and no process holds the
            run; `damaged` if the record cannot be read, `unread` if this user may not read it,
            `of another version` if it is in another format.
        overrides: the overrides without hydra's own; why, if the record cannot be read.
        size_bytes: the bytes of all its files.
        written: the time at which its record was last written, in seconds since 1970.
        metric: the main metric with its name; empty before there is one.
        model: the key of the model that it used, or `exact`.
        is_trial: whether it is a trial of a search, which Optuna knows.
    """

    name: str
    folders: tuple[Path, ...]
    status: str
    overrides: str
    size_bytes: int
    written: float
    metric: str
    model: str
    is_trial: bool

    @property
    def path(self) -> Path:
        """Return the folder of the last attempt."""
        return self.folders[-1]


def runs(output_dir: Path) -> list[Run]:
    """Return the runs of an output folder; the one that was written last is first."""
    found = [_run_or_why(path.name, (path,), False) for path in folders_in(output_dir / "runs")]
    for sweep in folders_in(output_dir / "sweeps"):
        jobs: dict[str, list[Path]] = {}
        try:
            for folder in folders_in(sweep):
                if os.path.lexists(folder / "run.json") or not os.access(folder, os.X_OK):
                    jobs.setdefault(job_name(folder), []).append(folder)
        except OSError as error:
            found.append(_unread(sweep.name, (sweep,), error))
        for name, attempts in jobs.items():
            attempts.sort(key=lambda path: (len(path.name), path.name))
            is_trial = re.fullmatch(TRIAL_NAME, name) is not None
            found.append(_run_or_why(f"{sweep.name}/{name}", tuple(attempts), is_trial))
    return sorted(found, key=lambda run: (-run.written, run.name))


def delete_runs(output_dir: Path, asked: Sequence[str] | None) -> list[Run]:
    """Delete runs, and return their descriptions.

    Args:
        output_dir: the output folder of the runs.
        asked: the names of runs, or their last 10 hexadecimal digits; none: all that failed,
            diverged, or were interrupted or killed, except for trials of searches.
    Raises:
        ValueError: for an unknown name, a trial of a search, a run behind a link, or a run that a
            live process holds; then nothing is deleted.
    """
    there = runs(output_dir)
    if asked is None:
        chosen = [run for run in there if run.status in NOT_DONE and not run.is_trial]
    else:
        chosen = list(dict.fromkeys(_named(name, there, output_dir) for name in asked))
    with ExitStack() as locks:
        for run in chosen:
            if run.is_trial:
                raise ValueError(
                    f"delete must list runs of their own or jobs of sweeps, got {run.name}, a "
                    "trial that its search has told to Optuna; nothing was deleted"
                )
            if run.path.parent.is_symlink():
                raise ValueError(
                    f"delete must list runs in {output_dir}, and {run.name} lies behind the link "
                    f"{run.path.parent}; delete it where it is; nothing was deleted"
                )
            _hold(run, locks)
        # Renamed first: a removal that is cut off leaves no half of a run under its name.
        for folder in [folder for run in chosen for folder in reversed(run.folders)]:
            folder.rename(folder.with_name(f"{DELETED}{folder.name}.{os.getpid()}"))
    for place in (output_dir / "runs", *folders_in(output_dir / "sweeps")):
        remove_deleted(place)
    return chosen


def prune_samples(output_dir: Path) -> tuple[int, int]:
    """Delete the samples of completed runs that no process holds; return their count and bytes."""
    count = size = 0
    for run in runs(output_dir):
        file = run.path / SAMPLES
        is_elsewhere = run.path.is_symlink() or run.path.parent.is_symlink()
        if run.status != "completed" or is_elsewhere or not file.is_file():
            continue
        with ExitStack() as locks:
            try:
                _hold(run, locks)
            except ValueError:  # A process may still be mirroring it in W&B.
                continue
            size += file.stat().st_size
            file.unlink()
            count += 1
    return count, size


def runs_text(found: Sequence[Run], output_dir: Path) -> str:
    """Format runs as a table, with a line of their number and size."""
    total = sum(run.size_bytes for run in found) / MEGABYTE
    sum_line = f"{_count(found)} in {output_dir}, {total:.1f} MB"
    if not found:
        return sum_line if output_dir.is_dir() else f"{sum_line}: there is no such folder"
    rows = [("time", "name", "status", "MB", "metric", "model", "overrides")]
    for run in found:
        time = f"{datetime.fromtimestamp(run.written):%Y-%m-%d %H:%M}"
        size = f"{run.size_bytes / MEGABYTE:.1f}"
        sweep, _, name = run.name.rpartition("/")
        words = f"[{sweep}] {run.overrides}" if sweep else run.overrides
        rows.append((time, name, run.status, size, run.metric, run.model, words))
    return "\n".join([*listed(rows, right=(3,)), sum_line])


def deleted_runs_text(gone: Sequence[Run]) -> str:
    """Format the runs that were deleted, with the space that this has freed."""
    lines = [f"deleted  {run.name}  {run.size_bytes / MEGABYTE:.1f} MB" for run in gone]
    freed = sum(run.size_bytes for run in gone) / MEGABYTE
    return "\n".join([*lines, f"{_count(gone)} deleted, {freed:.1f} MB freed"])


def _count(found: Sequence[Run]) -> str:
    return f"{len(found)} run{'' if len(found) == 1 else 's'}"


def _hold(run: Run, locks: ExitStack) -> None:
    """Take the locks that a run's own process would hold.

    Raises:
        ValueError: if a live process holds them.
    """
    try:
        if run.status == "running":
            raise ValueError("it says that it is at work")
        if "/" in run.name:
            locks.enter_context(job_lock(run.path).acquire(timeout=0))
        for folder in run.folders:
            locks.enter_context(held(folder))
    except (ValueError, Timeout):
        raise ValueError(
            f"delete must list runs that no process is at work on, got {run.name}; wait for it or "
            "stop it, nothing was deleted"
        ) from None


def _named(name: str, there: Sequence[Run], output_dir: Path) -> Run:
    """Return the run of a name, or of the digits that it ends with."""
    found = [run for run in there if name in (run.name, run.name.rpartition("/")[2])]
    if not found and re.fullmatch("[0-9a-f]{10}", name):
        found = [run for run in there if job_id(run.folders[0]) == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"delete must tell which run, got {name}, the name of {len(found)}: "
            f"{', '.join(run.name for run in found)}; nothing was deleted"
        )
    raise ValueError(
        f"delete must list runs of {output_dir}, got {name}, which is not one; fokker task=runs "
        "lists them, nothing was deleted"
    )


def _run_or_why(name: str, folders: tuple[Path, ...], is_trial: bool) -> Run:
    """Describe a run; for one that this user may not read, say why nothing is known."""
    try:
        return _run(name, folders, is_trial)
    except OSError as error:
        return _unread(name, folders, error)


def _unread(name: str, folders: tuple[Path, ...], error: OSError) -> Run:
    return Run(
        name=name,
        folders=folders,
        status=UNREAD,
        overrides=f"{folders[-1]} cannot be read: {error.strerror}",
        size_bytes=0,
        written=folders[-1].stat().st_mtime,
        metric="",
        model="",
        is_trial=False,
    )


def _run(name: str, folders: tuple[Path, ...], is_trial: bool) -> Run:
    path = folders[-1]
    record, why = record_or_why(path / "run.json")
    metrics: dict[str, Any] = {}
    try:
        check_unchanged(path, record, "metrics.json")
        metrics = read_record(path / "metrics.json")
    except DamagedError as error:
        why = why or error
    left = OF_ANOTHER if isinstance(why, FormatError) else DAMAGED
    status = left if why else str(record.get("status", "no run.json"))
    if status == "running" and not is_held(path):
        status = "killed"
    own: Any = record.get("metrics")
    known = [name for name in own if name in metrics] if isinstance(own, list) else []
    names = known or [name for name in metrics if name not in _NO_METRIC][:1]
    main = [f"{name} {metrics[name]:.4g}" for name in names if metrics[name] is not None]
    used: Any = record.get("model")
    key = str(used.get("key", "")) if isinstance(used, dict) else ""
    return Run(
        name=name,
        folders=folders,
        status=status,
        overrides=why.in_short if why else typed_text(record.get("overrides")),
        size_bytes=sum(size_of(folder) for folder in folders),
        written=_written(path),
        metric=main[0] if main else "",
        model="exact" if record.get("training") == "exact" else key,
        is_trial=is_trial,
    )


def _written(path: Path) -> float:
    file = path / "run.json"
    return (file if file.is_file() else path).stat().st_mtime
