"""The jobs of a sweep: their overrides, their folders, and their results.

Nothing here needs torch, so that a finished sweep reports at once.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, final

from fokker.config.option_words import group_of
from fokker.machine.disk import DamagedError
from fokker.machine.folders import make_folder
from fokker.machine.locks import is_locked, locked
from fokker.machine.masking import masked
from fokker.overrides import read, read_key
from fokker.store.job_folders import DAMAGED, lock_file
from fokker.store.job_names import DIGITS
from fokker.store.records import FormatError, read_record, record_or_why
from fokker.store.run_files import check_unchanged, read_table
from fokker.sweeps.swept import NOT_OF_THE_JOB

Row = dict[str, Any]
#: The columns of a row that are neither swept keys nor metrics.
FIXED = ("status", "training", "model", "seconds", "folder", "error")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder while one process writes what all its sweeps share."""
    make_folder(folder)
    with locked(folder / ".sweep.lock"):
        yield


@lru_cache(maxsize=1)
def _by_key(folder: Path, changed: int) -> Mapping[str, str]:
    """Return the names in a folder by the text after their last dash, read once for a sweep's jobs.

    Args:
        folder: the folder of a sweep.
        changed: the time of its last change, so that a changed folder is read again.
    """
    return {name.rpartition("-")[2]: name for name in sorted(os.listdir(folder), reverse=True)}


@final
@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        sweep: the sweep's folder.
        key: the key of the job: ten hexadecimal digits, or `t` and the number of a trial.
        overrides: all its overrides, as on a command line.
        swept: the values of the swept keys, by column.
        short: these values in the name of the job's folder; if empty, the name is only the key.
    """

    sweep: Path
    key: str
    overrides: tuple[str, ...]
    swept: Mapping[str, str] = field(compare=False)
    short: str = field(default="", compare=False)

    @property
    def label(self) -> str:
        """Return the swept keys with their values."""
        return " ".join(f"{column}={value}" for column, value in self.swept.items())

    def folder(self, attempt: int) -> Path:
        """Return the folder of the first attempt, the second (`<job>.2`), and so on."""
        return self.sweep / (self._name if attempt == 1 else f"{self._name}.{attempt}")

    @property
    def _name(self) -> str:
        """Return `<values>-<hash>`, or the name of a folder that is there with the same hash."""
        name = f"{self.short}-{self.key}" if self.short else self.key
        if (self.sweep / name).is_dir():
            return name
        try:
            named = _by_key(self.sweep, self.sweep.stat().st_mtime_ns)
        except OSError:  # The sweep's folder is not there yet.
            return name
        return named.get(self.key, name)

    @property
    def attempts(self) -> int:
        """Return how many attempts at the job have a record."""
        count = 0
        while (self.folder(count + 1) / "run.json").is_file():
            count += 1
        return count

    @property
    def next_folder(self) -> Path:
        """Return the folder of the next attempt; no attempt writes into an earlier folder."""
        return self.folder(self.attempts + 1)

    @property
    def is_held(self) -> bool:
        """Return whether a living process runs the job."""
        return is_locked(lock_file(self.folder(1)))

    def _check_own(self, record: Mapping[str, object]) -> None:
        """Refuse a folder of another job whose key happens to be the same."""
        stored = record.get("overrides")
        if not isinstance(stored, list) or len(self.key) != DIGITS:  # A trial's key is no hash.
            return
        there, here = (
            sorted(
                masked(o) for o in words if group_of(read(o).key) not in (*NOT_OF_THE_JOB, "hydra")
            )
            for words in (map(str, stored), self.overrides)
        )
        if there != here:
            raise ValueError(same_key(self.sweep, self.key, there, here))

    def row(self) -> Row:
        """Return the results of the last attempt: the swept keys, its record, and its metrics.

        Raises:
            ValueError: if another version, or another job with the same key, wrote its folder.
        """
        count = self.attempts
        folder = self.folder(max(count, 1))
        record, why = record_or_why(folder / "run.json") if count else ({}, None)
        if isinstance(why, FormatError):
            raise why
        self._check_own(record)
        status = record.get("status", "not run")
        metrics: dict[str, Any] = {}
        if status == "completed":
            try:
                metrics = _results(folder, record)
            except DamagedError as error:
                why = error
        if why or status in ("not run", "running"):
            begun = bool(record) or (folder / "output.txt").is_file()
            left = DAMAGED if why else "killed" if begun else status
            status = "running" if self.is_held else left
        model = record.get("model") or {}
        row: Row = {
            **self.swept,
            "status": status,
            "training": record.get("training"),
            "model": None if record.get("training") == "exact" else model.get("key"),
        }
        for name, value in metrics.items():
            if value is not None:
                row.setdefault(name, value)
        said = " ".join((why.in_short if why else record.get("error") or "").split())
        seconds = record.get("seconds")
        return {**row, "seconds": seconds, "folder": folder.name, "error": said or None}


def _results(folder: Path, record: Mapping[str, object]) -> dict[str, Any]:
    """Return the metrics of a completed job.

    Raises:
        DamagedError: if a file that a sweep reads is not as it was written.
    """
    check_unchanged(folder, record, "metrics.json", "evaluations.csv", "config.yaml")
    table = folder / "evaluations.csv"
    if table.is_file():
        read_table(table)
    return read_record(folder / "metrics.json")


def same_key(folder: Path, key: str, one: Sequence[str], other: Sequence[str]) -> str:
    """Say that two different jobs happen to have one key, in a sentence."""
    first = " ".join(o for o in one if o not in other)
    second = " ".join(o for o in other if o not in one)
    return (
        f"two jobs of {folder} have the same key, {key}: {first} and {second}; run them in two "
        "sweeps, or give one of them a folder of its own with hydra.sweep.dir"
    )


def short_columns(keys: Sequence[str]) -> dict[str, str]:
    """Return a column for each swept key: its last part where that is unambiguous."""
    words = {key: read_key(key) for key in keys}
    full = {key: word.package or word.name for key, word in words.items()}
    short = {key: re.split("[./]", name)[-1] for key, name in full.items()}
    count = Counter(short.values())
    unusable = (*FIXED, "nfe", "loss", "floor", "excess")
    return {k: full[k] if count[s] > 1 or s in unusable else s for k, s in short.items()}
