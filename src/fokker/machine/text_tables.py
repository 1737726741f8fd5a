"""Tables of text for a terminal."""

from collections.abc import Collection, Sequence

#: The blanks between two columns.
GAP = "  "


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] | None = ()) -> list[str]:
    """Return the lines of a table, each cell filled up with blanks to the width of its column.

    Args:
        rows: the rows of cells, all of the same length.
        right: the columns that are aligned at the right; null: all.
    """
    widths = widths_of(rows)
    return [
        GAP.join(
            cell.rjust(width) if right is None or column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def widths_of(rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of each column, in characters."""
    return [max(map(len, column)) for column in zip(*rows, strict=True)]
