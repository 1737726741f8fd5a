"""The doctor's findings, as rows of a table."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

OK = "ok"
GAP = "  "
NARROWEST = 60


@final
@dataclass(frozen=True)
class Row:
    """The finding on one thing that was examined.

    Attributes:
        what: the thing that was examined.
        found: the state in which it is.
        verdict: `ok`, or a sentence of what would go wrong and of the remedy.
        is_wrong: whether a run would fail or give wrong results; else a sentence is a warning.
    """

    what: str
    found: str
    verdict: str = OK
    is_wrong: bool = False

    @property
    def is_warning(self) -> bool:
        """Tell whether a run would go on, but not as well as it could."""
        return self.verdict != OK and not self.is_wrong

    @property
    def said(self) -> str:
        """Return the verdict with its weight, such as `warning: `."""
        weight = "wrong: " if self.is_wrong else "warning: " if self.is_warning else ""
        return weight + self.verdict


def judged(what: str, found: str, wrong: str = "", warning: str = "") -> Row:
    """Make a row whose verdict is the sentence that is not empty, or `ok`."""
    return Row(what, found, wrong or warning or OK, bool(wrong))


def table(rows: Sequence[Row], width: int) -> str:
    """Return the rows in three columns, in lines of at most `width`, or NARROWEST if larger."""
    width = max(width, NARROWEST)
    first = max(map(len, ["what", *(row.what for row in rows)]))
    rest = width - first - 2 * len(GAP)
    second = min(max(map(len, ["found", *(row.found for row in rows)])), rest // 2)
    lines = []
    for what, found, said in [
        ("what", "found", "verdict"), *((row.what, row.found, row.said) for row in rows),
    ]:  # fmt: skip
        left = textwrap.wrap(found, second, break_on_hyphens=False) or [""]
        right = textwrap.wrap(said, rest - second, break_on_hyphens=False)
        for number in range(max(len(left), len(right))):
            cells = [what if number == 0 else "", *(c[number : number + 1] for c in (left, right))]
            texts = [cell[0] if isinstance(cell, list) and cell else cell or "" for cell in cells]
            padded = f"{texts[0]:<{first}}{GAP}{texts[1]:<{second}}{GAP}{texts[2]}"
            lines.append(padded.rstrip())
    return "\n".join(lines)


def closing(rows: Sequence[Row]) -> str:
    """Return the last line, which counts what would go wrong."""
    wrong, warnings = sum(r.is_wrong for r in rows), sum(r.is_warning for r in rows)
    number = "nothing" if wrong == 0 else f"{wrong} thing{'s' * (wrong > 1)}"
    beside = f"; {warnings} warning{'s' * (warnings > 1)}" if warnings else ""
    return f"{number} would go wrong{beside}"
