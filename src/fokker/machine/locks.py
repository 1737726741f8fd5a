"""Locks among processes, of files and of folders.

They are the exclusive ones of filelock. Only `is_held` takes a shared lock, so that processes that
check a folder at the same time do not take each other for its holder.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout, lock_descriptor

from fokker.machine.disk import short, writing
from fokker.machine.folders import make_folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process after the other run the block, by the lock of a file.

    Raises:
        DiskError: if the file cannot be made, as where a folder or a link has its name.
    """
    lock = FileLock(path)
    with writing(path):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_locked(file: Path) -> bool:
    """Tell whether a living process holds the lock of a file.

    The check holds the lock for a moment, so a process that takes the lock must wait that long.
    """
    if not file.is_file():  # FileLock would make the file, and the check must leave nothing behind.
        return False
    try:
        with FileLock(file).acquire(timeout=0):
            return False
    except Timeout:
        return True


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder in the block, so that one process at a time writes in it.

    The folder itself is locked, so that no lock file stays behind. It is made if it is not there.

    Raises:
        ValueError: if another process holds the lock.
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
    """Tell whether a process holds the lock of a folder; true too where folders have no locks."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
