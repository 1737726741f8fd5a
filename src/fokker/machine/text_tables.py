"""Tables of texts for a terminal."""

from collections.abc import Collection, Sequence

#: Between columns.
GAP = "  "


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] | None = ()) -> list[str]:
    """Lines of cells, each cell filled up with blanks to the width of its column.

    Args:
        rows: cells, a row each with as many of them.
        right: columns that end at the same place, where others begin at one; null: all.
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
    """The number of characters of each column."""
    return [max(map(len, column)) for column in zip(*rows, strict=True)]
