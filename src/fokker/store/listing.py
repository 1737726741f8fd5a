"""Listings of models and of runs: sizes, texts and lines of a table, and remains of deletions."""

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from fokker.machine.named_files import one_line
from fokker.machine.text_tables import GAP, aligned, widths_of

# The beginning of the name of a folder that is being deleted; a killed deletion leaves it behind.
DELETED = ".deleted."
MEGABYTE = 1e6


def folders_in(place: Path) -> Iterator[Path]:
    """Yield the folders in a place, without those that are hidden."""
    if place.is_dir():
        yield from (p for p in place.iterdir() if p.is_dir() and not p.name.startswith("."))


def size_of(folder: Path) -> int:
    """Return the bytes of a folder's files, without those that links lead to."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files)


def typed_text(overrides: object) -> str:
    """Return recorded overrides as a text, without hydra's own; empty if they are no list."""
    known = overrides if isinstance(overrides, list) else []
    kept = [str(o) for o in known if not re.match(r"[+~]*hydra[./]", str(o))]
    return " ".join(" ".join(kept).split())


def listed(rows: Sequence[Sequence[str]], right: Sequence[int]) -> list[str]:
    """Return a table's lines, with the last column cut where a terminal ends, but not for a file.

    Characters that a terminal would take for a command are written as escapes, such as `\\x1b`.

    Args:
        rows: the rows of cells, the head first.
        right: the columns that are aligned at the right.
    """
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = widths_of(rows)
    terminal = shutil.get_terminal_size((0, 0)).columns
    lines = []
    for line in map(str.rstrip, aligned(rows, right)):
        least = sum(widths[:-1]) + len(GAP) * len(widths) + 8
        room = max(terminal, least) if terminal else len(line)
        lines.append(line if len(line) <= room else f"{line[: room - 1]}…")
    return lines


def remove_deleted(place: Path) -> None:
    """Remove what deletions have put aside in a folder, including those that were killed."""
    for path in place.glob(f"{DELETED}*"):
        if path.is_symlink():
            path.unlink()
        else:
            shutil.rmtree(path, ignore_errors=True)
