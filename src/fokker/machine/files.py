"""Files that are either whole or not there: text, JSON, and JSON lines."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from fokker.machine.disk import DamagedError, writing
from fokker.machine.masking import masked

#: The most characters of a value in a message.
_MAX_SHOWN = 60


def write_atomically(path: Path, write: Callable[[Path], object], mode: int = 0o666) -> None:
    """Let `write` fill a temporary file next to `path`, then move it to `path`.

    A file has one writer at a time, so a temporary file that a killed writer has left is removed.
    The temporary file is made here, so that no link in its place or in the file's is followed.

    Args:
        path: the path of the file.
        write: a function that gets the path of the temporary file, which is there and empty.
        mode: the permissions of the file, less the user's umask.
    Raises:
        DiskError: if the disk refuses it; an earlier file is still there then.
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
    """Open a text file of a run to append to it; it is made if it is not there.

    Raises:
        OSError: if it cannot be opened, or is a link.
    """
    flags = os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_WRONLY
    return os.fdopen(os.open(path, flags, 0o666), "a", encoding="utf-8")


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all, with its passwords masked."""
    hidden = masked(text)
    write_atomically(path, lambda temporary: temporary.write_text(hidden, encoding="utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def write_private(path: Path, text: str) -> None:
    """Write a text file with its passwords, whole or not at all; only the user may read it."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), 0o600)


def read_json(path: Path) -> dict[str, Any]:
    """Read the object in a JSON file of fokker's, with values of any kinds; empty if it is missing.

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
    """Yield the lines of a JSON-lines file that are not empty, with their numbers from 1 on.

    A line is given by its value, or by a ValueError that says why it is no JSON.
    """
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            try:
                yield number, json.loads(line.decode())
            except (ValueError, RecursionError) as error:
                yield number, ValueError(str(error))


def described(value: object) -> str:
    """Format a value of JSON for a message, cut if it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."


def checksum(path: Path) -> str:
    """Return the sha256 of a file's bytes, as `sha256sum` prints it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def write_json(path: Path, content: object) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def append_json_line(path: Path, row: dict[str, Any]) -> None:
    """Append a line to a JSON-lines file."""
    with writing(path), open_to_append(path) as handle:
        handle.write(json.dumps(row) + "\n")


def write_json_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a JSON-lines file, whole or not at all."""
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
