"""JSON files and lines."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fokker.machine.disk import open_to_append, write_text, writing


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
