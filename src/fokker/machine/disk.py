"""Files that are either whole or not there, and what a disk refuses, in words.

Locks are filelock's but for that of `is_held`, which is shared, so that of several who look at once
none takes another for the holder: those that filelock gives are exclusive.
"""

import errno
import fcntl
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from filelock import FileLock, lock_descriptor

from fokker.machine.masking import masked

_ELSEWHERE = "let it be written, or give another folder by output_dir or hydra.run.dir"
_IN_THE_WAY = "move away what stands there, or give another folder by output_dir"
_GOES_ON = "; then the same command goes on"
#: By the system's number of the error.
REMEDIES = {
    errno.ENOSPC: f"free space there{_GOES_ON}",
    errno.EDQUOT: f"free space in your quota{_GOES_ON}",
    errno.EFBIG: f"raise the limit on the size of files (ulimit -f){_GOES_ON}",
    errno.EIO: f"look after the disk{_GOES_ON}",
    errno.ENOENT: "its folder was taken away; bring it back, or the same command begins anew",
    errno.EROFS: _ELSEWHERE,
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EISDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.ELOOP: "a link stands in its place; take it away",
}
_OF_THE_RUN = "bring back a copy, or move its folder away and run it anew"
_OF_THE_MODEL = (
    "bring back a copy, or move the model's folder away, and the same command trains it anew"
)
_OF_THE_TRIALS = "bring back a copy, or give another folder with hydra.sweep.dir"
#: What helps where a file of a name is damaged.
_RESTORED = {
    **dict.fromkeys(("run.json", "metrics.json", "config.yaml", "evaluations.csv"), _OF_THE_RUN),
    "samples.npz": "bring back a copy, or take it away, and what needs no samples goes on",
    "model.json": _OF_THE_MODEL,
    "last.ckpt": _OF_THE_MODEL,
    "jobs.json": "take it away, and the same command writes it anew",
    "search.db": _OF_THE_TRIALS,
    "search.log": _OF_THE_TRIALS,
}
#: Characters of a value in a message.
_MAX_SHOWN = 60


class DiskError(OSError):
    """A file of a run that cannot be written, for no fault of the run's; says what helps.

    Args:
        number: the system's, as `errno.ENOSPC`.
        reason: the system's, in words.
        path: what cannot be written.
    """

    def __init__(self, number: int, reason: str, path: str) -> None:
        super().__init__(number, reason, path)

    def __str__(self) -> str:
        remedy = REMEDIES.get(self.errno or 0, f"see to it{_GOES_ON}")
        return f"{self.filename} cannot be written: {self.strerror}; {remedy}"


class DamagedError(ValueError):
    """A file that is not as it was written; says which, why, and what helps.

    Args:
        path: of the file.
        why: what is wrong with it, in words.
    """

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(path, why)
        self.path, self.why = path, why

    def __str__(self) -> str:
        remedy = _RESTORED.get(self.path.name, "bring back a copy, or take it away")
        return f"{short(self.path)} is damaged: {self.why}; {remedy}"

    @property
    def in_short(self) -> str:
        """The same where its folder is known and nothing is to be done."""
        return f"{self.path.name} is damaged: {self.why}"


def short(path: Path) -> Path:
    """A path as it is typed: relative where it lies below the current folder."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Let what the system refuses name the path: the error of a full disk does not.

    Raises:
        DiskError: in place of the system's error.
    """
    try:
        yield
    except DiskError:
        raise
    except OSError as error:
        if error.errno is None:  # A lock that is waited for in vain.
            raise
        raise DiskError(error.errno, os.strerror(error.errno), os.fspath(short(path))) from error


def make_folder(path: Path, may_be_link: bool = False) -> None:
    """A folder, with those above it.

    Args:
        path: of the folder.
        may_be_link: whether it is one of the user's, and may lie behind a link of his.
    Raises:
        ValueError: if it is a link, which others may have put there to be written behind.
        DiskError: if it cannot be made.
    """
    if path.is_symlink() and not may_be_link:
        raise ValueError(
            f"{short(path)} is a link, and fokker writes into no folder of its own behind one; "
            "take it away, or give the folder itself"
        )
    with writing(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as error:  # As in /proc, where nobody can make one.
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from error


def remove_empty(path: Path, output_dir: Path) -> None:
    """Take away a run's folder that was made for nothing, and those above it up to output_dir."""
    path, top = path.resolve(), output_dir.resolve()
    above = [folder for folder in path.parents if folder == top or top in folder.parents]
    with suppress(OSError):
        for folder in (path, *above):
            if folder == Path.cwd():
                return
            folder.rmdir()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process after the other be in the block, by a file.

    Raises:
        DiskError: if the file cannot be one, as where a folder or a link has its name.
    """
    lock = FileLock(path)
    with writing(path):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Let one process at a time write in a folder; its lock is its own, and leaves nothing behind.

    Raises:
        ValueError: if another process holds it.
    """
    make_folder(folder)
    handle = os.open(folder, os.O_RDONLY)
    try:
        is_ours = True
        with suppress(OSError):  # NFS has no locks of folders.
            is_ours = lock_descriptor(handle, blocking=False)
        if not is_ours:
            raise ValueError(
                f"{short(folder)} is another process's, which is at work there; wait for its end, "
                "or give another folder"
            )
        yield
    finally:
        os.close(handle)


def is_held(folder: Path) -> bool:
    """Whether a process writes in a folder; so it is too where there are no locks to tell by."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def check_writable(folder: Path) -> None:
    """Refuse a folder in which nothing can be written, before any work is done.

    Raises:
        DiskError: if it, or what of the path is there, is no folder, or not to be written.
    """
    with writing(folder), suppress(FileNotFoundError, NotADirectoryError):
        folder.lstat()  # A name that is too long.
    place = next(p for p in (folder, *folder.parents) if os.path.lexists(p))
    if not place.is_dir():
        number = errno.ENOTDIR
    elif os.access(place, os.W_OK | os.X_OK):
        if folder != place and not os.statvfs(place).f_blocks:  # As in /proc: ask it.
            first = next(p for p in (folder, *folder.parents) if p.parent == place)
            make_folder(first)
            first.rmdir()
        return
    else:
        is_read_only = os.statvfs(place).f_flag & os.ST_RDONLY
        number = errno.EROFS if is_read_only else errno.EACCES
    raise DiskError(number, os.strerror(number), os.fspath(short(place)))


def write_atomically(path: Path, write: Callable[[Path], object], mode: int = 0o666) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in its place.

    A file has one writer at a time, so what a kill has left of an earlier one is taken away. The
    temporary file is made here: no link that somebody has put in its place, or in the file's, leads
    elsewhere.

    Args:
        path: of the file.
        write: gets the path of the temporary file, which is there and empty.
        mode: of the file, less the user's umask.
    Raises:
        DiskError: if the disk refuses it; what was there before is there still.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path):
        temporary.unlink(missing_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode))
        try:
            write(temporary)
            handle = os.open(temporary, os.O_RDWR | os.O_NOFOLLOW)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def open_to_append(path: Path) -> TextIO:
    """A text file of a run, made if it is not there; a link in its place is not followed.

    Raises:
        OSError: if it cannot be opened, or is a link.
    """
    flags = os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_WRONLY
    return os.fdopen(os.open(path, flags, 0o666), "a", encoding="utf-8")


def own_folder() -> Path:
    """The user's folder on this machine, for locks: `fokker-UID`, which nobody else may enter.

    It lies in the system's temporary folder, where others may have made one of this name before.

    Raises:
        ValueError: if it is a link, another user's, or open to others.
    """
    place = Path(tempfile.gettempdir()) / f"fokker-{os.getuid()}"
    with writing(place), suppress(FileExistsError):
        place.mkdir(mode=0o700)
    found = place.lstat()
    is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not is_own or stat.S_IMODE(found.st_mode) & 0o077:
        raise ValueError(
            f"{place} must be a folder of your own that others may not enter, and is not; remove "
            "it, or name another temporary folder by TMPDIR"
        )
    return place


def write_text(path: Path, text: str) -> None:
    """A text file, whole or not at all, without passwords."""
    hidden = masked(text)
    write_atomically(path, lambda temporary: temporary.write_text(hidden, encoding="utf-8"))


def write_private(path: Path, text: str) -> None:
    """A text file with its passwords, which nobody but the user may read."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), 0o600)


def read_json(path: Path) -> dict[str, Any]:
    """What a JSON file of ours holds, of whatever kinds; nothing if it is not there.

    Raises:
        DamagedError: if it is no JSON, or no object.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise DamagedError(path, "it must be text in UTF-8, and is not") from error
    except (ValueError, RecursionError) as error:
        raise DamagedError(path, f"it must hold JSON, and holds none: {error}") from error
    if not isinstance(content, dict):
        raise DamagedError(path, f"it must hold a JSON object, and holds {described(content)}")
    return content


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """The lines of a JSON-lines file that are not empty, with their numbers from 1 on.

    Of each what it holds, or the ValueError that says why that is no JSON.
    """
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            try:
                yield number, json.loads(line.decode())
            except (ValueError, RecursionError) as error:
                yield number, ValueError(str(error))


def described(value: Any) -> str:
    """A value of JSON for a message, cut where it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."


def checksum(path: Path) -> str:
    """Of a file's bytes: sha256, as `sha256sum` prints it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
