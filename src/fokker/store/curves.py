"""Training curves: JSON lines, with a step in each."""

import warnings
from pathlib import Path
from typing import Any

from fokker.machine.disk import short
from fokker.machine.files import json_lines
from fokker.store.shapes import COUNT, NUMBER


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read the intact lines of a training curve: a step in each, and numbers or lists of them.

    A last line that a kill has cut off is left out. So are damaged lines, with a warning and no
    error, since the model does not depend on them.
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


def _is_row(row: object) -> bool:
    """Tell whether a line of a curve is as fokker writes it: a step, and numbers or lists."""
    if not isinstance(row, dict) or not COUNT.fits(row.get("step")):
        return False
    kinds = (NUMBER.or_null, NUMBER.or_null.listed)
    return all(any(kind.fits(v) for kind in kinds) for v in row.values())
