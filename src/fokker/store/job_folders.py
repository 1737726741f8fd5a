"""The folders of a sweep's jobs: their locks, and the records of failed jobs."""

import json
import traceback
from pathlib import Path

from filelock import FileLock

from fokker.machine import files
from fokker.machine.folders import make_folder
from fokker.store.job_names import job_id
from fokker.store.records import FORMAT, record_or_why

FAILED = ("failed", "diverged")
#: The status of a job whose record cannot be read; it is run again.
DAMAGED = "damaged"


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all, and make its folder."""
    make_folder(path.parent)
    files.write_text(path, text)


def write_json(path: Path, content: object) -> None:
    """Write a JSON file, whole or not at all, and make its folder."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def job_lock(path: Path) -> FileLock:
    """Return the lock that the process which runs a job holds for as long as it lives.

    Args:
        path: the path of any folder of the job, `<sweep>/<job>` or `<sweep>/<job>.2`.
    """
    make_folder(path.parent)
    return FileLock(lock_file(path))


def lock_file(path: Path) -> Path:
    """Return the file of a job's lock."""
    return path.parent / f".{job_id(path)}.lock"


def record_failure(path: Path, error: BaseException, seconds: float, **facts: object) -> None:
    """Write traceback.txt, and a run.json that says how a job failed, however far it came."""
    text = "".join(traceback.format_exception(error))
    write_text(path / "traceback.txt", text)
    stored = {"format": FORMAT, **facts, **record_or_why(path / "run.json")[0]}
    status = stored["status"] if stored.get("status") in FAILED else "failed"
    sentence = f"{type(error).__name__}: {error}"
    write_json(
        path / "run.json", {**stored, "status": status, "error": sentence, "seconds": seconds}
    )
