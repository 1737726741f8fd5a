"""CSV tables in which a spreadsheet takes no cell for a formula."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

#: The characters that a formula begins with in a spreadsheet.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
_QUOTE = "'"


def csv_text(rows: Sequence[Mapping[str, object]], names: Sequence[str]) -> str:
    """Return a table with these columns as CSV.

    A text that a spreadsheet would take for a formula gets an apostrophe before it, which
    `unquoted` removes.
    """
    text = io.StringIO(newline="")
    # The writer quotes a cell that has a character of its line ending, so this one covers "\r".
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([_plain(name) for name in names])
    writer.writerows([_plain(row.get(name)) for name in names] for row in rows)
    return text.getvalue().replace("\r\n", "\n")


def _plain(cell: object) -> Any:
    if not isinstance(cell, str) or not cell.lstrip(_QUOTE).startswith(FORMULA) or _is_number(cell):
        return cell
    return _QUOTE + cell


def unquoted(cell: str) -> str:
    """Return the text that a cell was written from."""
    is_quoted = cell.startswith(_QUOTE) and cell.lstrip(_QUOTE).startswith(FORMULA)
    return cell[1:] if is_quoted else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
