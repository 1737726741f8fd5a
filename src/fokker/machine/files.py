"""Files that are either whole or not there: text, JSON, and JSON a line."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from fokker.machine.disk import DamagedError, writing
from fokker.machine.masking import masked

#: Characters of a value in a message.
_MAX_SHOWN = 60


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


def write_json(path: Path, content: Any) -> None:
    """A JSON file, whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def append_json_line(path: Path, row: dict[str, Any]) -> None:
    """One more line of a JSON-lines file."""
    with writing(path), open_to_append(path) as handle:
        handle.write(json.dumps(row) + "\n")


def write_json_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """A JSON-lines file, whole or not at all."""
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
