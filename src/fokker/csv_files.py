"""Tables as CSV, of which a spreadsheet takes no cell for a formula."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

#: What a formula begins with in a spreadsheet.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
_QUOTE = "'"


def csv_text(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """A table with these columns.

    A text that a spreadsheet would take for a formula gets an apostrophe before it, which
    `read_csv` takes away.
    """
    text = io.StringIO(newline="")
    # By its end of a line the writer decides what is in need of quotes: so "\r" is, too.
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([_plain(name) for name in names])
    writer.writerows([_plain(row.get(name)) for name in names] for row in rows)
    return text.getvalue().replace("\r\n", "\n")


def read_csv(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a table by column, each cell as the text that it was made of."""
    with path.open(newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            yield {_unquoted(key): _unquoted(cell) for key, cell in row.items()}


def _plain(cell: Any) -> Any:
    if not isinstance(cell, str) or not cell.lstrip(_QUOTE).startswith(FORMULA) or _is_number(cell):
        return cell
    return _QUOTE + cell


def _unquoted(cell: Any) -> Any:
    # Of a row that is too long or too short.
    if not isinstance(cell, str) or not cell.startswith(_QUOTE):
        return cell
    return cell[1:] if cell.lstrip(_QUOTE).startswith(FORMULA) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
