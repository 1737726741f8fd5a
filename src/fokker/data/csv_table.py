"""Tables of numbers in text files: a header line, then one line for each point."""

import csv
import math
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

_SEPARATORS = (",", ";", "\t")


def read_table(path: Path, where: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Read the numbers of a .csv or .tsv file, (n, d) float64, and the names of its columns.

    The separator is `,`, `;` or tab: the one with which the first two lines are a header and as
    many numbers. Spaces, quotes, a byte-order mark and blank lines at the end are ignored.

    Args:
        path: the path of the file, in UTF-8.
        where: a name of the file for messages.
    Raises:
        ValueError: if it is not such a table; the message names the line and the column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            separator = _separator(file)
            file.seek(0)
            lines = _lines(file, separator)
            names = _header(next(lines, (1, []))[1], where)
            values = array("d")
            for number, cells in _without_blank_end(lines, where):
                values.extend(_numbers(cells, names, number, separator, where))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{where} must be text in UTF-8, and is not; save it as CSV UTF-8"
        ) from error
    except csv.Error as error:
        raise ValueError(
            f"{where} must be a table of numbers, and cannot be read as one ({error}); look for "
            "a quote that is not closed"
        ) from error
    return np.asarray(values, dtype=np.float64).reshape(-1, len(names)), names


def _lines(file: TextIO, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each line, from 1 on, and its stripped cells."""
    reader = csv.reader(file, delimiter=separator, skipinitialspace=True, strict=True)
    for cells in reader:
        yield reader.line_num, [cell.strip() for cell in cells]


def _separator(file: TextIO) -> str:
    """Return the separator that best splits the first two lines into a header and numbers."""
    found = []
    for separator in _SEPARATORS:
        file.seek(0)
        lines = _lines(file, separator)
        try:
            header, first = (next(lines, (0, []))[1] for _ in range(2))
        except csv.Error:
            continue
        fits = len(header) == len(first)
        found.append((fits and all(map(_is_number, first)), fits, len(header), separator))
    # Among equals max returns the first one.
    return max(found, key=lambda entry: entry[:3])[3] if found else ","


def _header(cells: Sequence[str], where: str) -> tuple[str, ...]:
    if not any(cells):
        raise ValueError(f"{where} must begin with a header line, got a blank one or nothing")
    if all(map(_is_number, cells)):
        raise ValueError(
            f"{where} must begin with a header line that names the columns, got the numbers "
            f"{', '.join(cells[:3])}{', ...' if len(cells) > 3 else ''}; write a header line"
        )
    if not all(cells):
        raise ValueError(
            f"{where} must name every column in its first line, got no name for column "
            f"{list(cells).index('') + 1}; write one (pandas: to_csv(index=False) leaves out "
            "the numbers of the rows)"
        )
    return tuple(cells)


def _without_blank_end(
    lines: Iterator[tuple[int, list[str]]], where: str
) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines without blank ones at the end; refuse a blank line before another one."""
    blank = 0
    for number, cells in lines:
        if not any(cells):
            blank = blank or number
            continue
        if blank:
            raise ValueError(f"{where} must have a point in every line, got line {blank} blank")
        yield number, cells


def _numbers(
    cells: Sequence[str], names: Sequence[str], line: int, separator: str, where: str
) -> list[float]:
    if len(cells) != len(names):
        raise ValueError(
            f"{where} must have {len(names)} cells in every line, as in its header, got "
            f"{len(cells)} in line {line}"
        )
    try:
        numbers = list(map(float, cells))
        if math.isfinite(sum(numbers)) and not any("_" in cell for cell in cells):
            return numbers
    except ValueError:
        pass
    for name, cell in zip(names, cells, strict=True):
        if not _is_number(cell):
            raise ValueError(
                f"{where} must hold finite numbers alone, got {_shown(cell)} in line {line}, "
                f"column {name}; {_remedy(cell, separator)}"
            )
    return numbers  # All are finite, and only their sum is not.


def _is_number(cell: str) -> bool:
    """Tell whether a cell is a finite number; python's float accepts 1_000 and nan too."""
    try:
        return math.isfinite(float(cell)) and "_" not in cell
    except ValueError:
        return False


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= 30 else f"{cell[:30]}...") if cell else "an empty cell"


def _remedy(cell: str, separator: str) -> str:
    if separator != "," and _is_number(cell.replace(",", ".", 1)):
        return "write decimal points in place of commas"
    return "remove the line or the column, or write a number"
