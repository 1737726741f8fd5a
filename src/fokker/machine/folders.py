"""Folders: making them, removing them, and checking that they can be written in."""

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from fokker.machine.disk import DiskError, short, writing


def make_folder(path: Path, may_be_link: bool = False) -> None:
    """Make a folder, with the folders above it.

    Args:
        path: the path of the folder.
        may_be_link: whether the folder may be a link that the user has made.
    Raises:
        ValueError: if it is a link that it may not be; others may have put it there, so that
            fokker writes elsewhere.
        DiskError: if it cannot be made.
    """
    if path.is_symlink() and not may_be_link:
        raise ValueError(
            f"{short(path)} is a link, and fokker writes into no folder of its own behind one; "
            "remove it, or give the folder itself"
        )
    with writing(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as error:  # As in /proc, where nobody can make a folder.
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from error


def remove_empty(path: Path, output_dir: Path) -> None:
    """Remove a run's folder if it is empty, then the empty ones above it up to output_dir.

    The current folder is kept.
    """
    path, top = path.resolve(), output_dir.resolve()
    above = [folder for folder in path.parents if folder == top or top in folder.parents]
    with suppress(OSError):
        for folder in (path, *above):
            if folder == Path.cwd():
                return
            folder.rmdir()


def check_writable(folder: Path) -> None:
    """Refuse a folder in which nothing can be written, before any work is done.

    Raises:
        DiskError: if the part of its path that exists is no folder, or cannot be written in.
    """
    with writing(folder), suppress(FileNotFoundError, NotADirectoryError):
        folder.lstat()  # Raises if the name is too long.
    place = next(p for p in (folder, *folder.parents) if os.path.lexists(p))
    if not place.is_dir():
        number = errno.ENOTDIR
    elif os.access(place, os.W_OK | os.X_OK):
        if folder != place and not os.statvfs(place).f_blocks:  # As in /proc: only a try tells.
            first = next(p for p in (folder, *folder.parents) if p.parent == place)
            make_folder(first)
            first.rmdir()
        return
    else:
        is_read_only = os.statvfs(place).f_flag & os.ST_RDONLY
        number = errno.EROFS if is_read_only else errno.EACCES
    raise DiskError(number, os.strerror(number), os.fspath(short(place)))


def own_folder() -> Path:
    """Return the user's folder for locks on this machine, made if it is not there: `fokker-UID`.

    Nobody else may enter it. It lies in the system's temporary folder, where another user may have
    made one of this name before.

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
