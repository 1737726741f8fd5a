"""Errors of a full or read-only disk and of damaged files, with messages that say what helps."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ELSEWHERE = "let it be written, or give another folder by output_dir or hydra.run.dir"
_IN_THE_WAY = "move away what stands there, or give another folder by output_dir"
_GOES_ON = "; then the same command goes on"
#: What helps against an error of the system, by its number.
REMEDIES = {
    errno.ENOSPC: f"free space there{_GOES_ON}",
    errno.EDQUOT: f"free space in your quota{_GOES_ON}",
    errno.EFBIG: f"raise the limit on the size of files (ulimit -f){_GOES_ON}",
    errno.EIO: f"look after the disk{_GOES_ON}",
    errno.ENOENT: "its folder is gone; bring it back, or the same command begins anew",
    errno.EROFS: _ELSEWHERE,
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EISDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.ELOOP: "a link stands in its place; remove it",
}
_OF_THE_RUN = "bring back a copy, or move its folder away and run it anew"
_OF_THE_MODEL = (
    "bring back a copy, or move the model's folder away, and the same command trains it anew"
)
_OF_THE_TRIALS = "bring back a copy, or give another folder with hydra.sweep.dir"
#: What helps if a file is damaged, by its name.
_RESTORED = {
    **dict.fromkeys(("run.json", "metrics.json", "config.yaml", "evaluations.csv"), _OF_THE_RUN),
    "samples.npz": "bring back a copy, or remove it, and what needs no samples goes on",
    "model.json": _OF_THE_MODEL,
    "last.ckpt": _OF_THE_MODEL,
    "jobs.json": "remove it, and the same command writes it anew",
    "search.db": _OF_THE_TRIALS,
    "search.log": _OF_THE_TRIALS,
}


class DiskError(OSError):
    """An error of a file that cannot be written, for no fault of the run; it says what helps.

    Args:
        number: the system's number of the error, such as `errno.ENOSPC`.
        reason: the system's words for the error.
        path: the path that cannot be written.
    """

    def __init__(self, number: int, reason: str, path: str) -> None:
        super().__init__(number, reason, path)

    def __str__(self) -> str:
        remedy = REMEDIES.get(self.errno or 0, f"see to it{_GOES_ON}")
        return f"{self.filename} cannot be written: {self.strerror}; {remedy}"


class DamagedError(ValueError):
    """An error of a file that is not as it was written; it says which, why, and what helps.

    Args:
        path: the path of the file.
        why: what is wrong with it, in words.
    """

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(path, why)
        self.path, self.why = path, why

    def __str__(self) -> str:
        remedy = _RESTORED.get(self.path.name, "bring back a copy, or remove it")
        return f"{short(self.path)} is damaged: {self.why}; {remedy}"

    @property
    def in_short(self) -> str:
        """Return the message without the folder and without what helps."""
        return f"{self.path.name} is damaged: {self.why}"


def short(path: Path) -> Path:
    """Return a path as a user types it: relative if it lies below the current folder."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the system in the block into one that names the path.

    The system's own error of a full disk does not name it.

    Raises:
        DiskError: in place of the system's error.
    """
    try:
        yield
    except DiskError:
        raise
    except OSError as error:
        if error.errno is None:  # A lock that was not got in time.
            raise
        raise DiskError(error.errno, os.strerror(error.errno), os.fspath(short(path))) from error
