"""Locks among processes, of files and of folders.

They are filelock's but for that of `is_held`, which is shared, so that of several who look at once
none takes another for the holder: those that filelock gives are exclusive.
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


def is_locked(file: Path) -> bool:
    """Whether a living process holds the lock of a file; none does if the file is not there.

    Who looks holds it for a moment, so that who takes it waits for that long.
    """
    if not file.is_file():  # A look leaves nothing behind.
        return False
    try:
        with FileLock(file).acquire(timeout=0):
            return False
    except Timeout:
        return True


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
