"""JSON files and lines."""

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fokker.disk import json_lines, open_to_append, short, write_text, writing
from fokker.records import COUNT, NUMBER


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


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The good lines of a training's curve: a step in each, and numbers or lists of them.

    A last line without an end, which a kill has left, is left out. So is one that is damaged, of
    which a warning tells: a model is as good without it.
    """
    if not path.is_file():
        return []
    lines = list(json_lines(path))
    wrong = [number for number, row in lines if not _is_row(row)]
    if wrong and wrong[-1] == lines[-1][0] and not path.read_bytes().endswith(b"\n"):
        del wrong[-1]
    if wrong:
        which = f"line {wrong[0]}" if len(wrong) == 1 else f"{len(wrong)} lines"
        warnings.warn(f"{short(path)} is damaged, and {which} of it left out", stacklevel=2)
    return [row for _, row in lines if _is_row(row)]


def _is_row(row: Any) -> bool:
    """Whether a line of a curve is as one is written."""
    if not isinstance(row, dict) or not COUNT.fits(row.get("step")):
        return False
    kinds = (NUMBER.or_null, NUMBER.or_null.listed)
    return all(any(kind.fits(v) for kind in kinds) for v in row.values())
