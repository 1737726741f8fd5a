"""A mistake that is planted in a copy of the source."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Mistake:
    """One wrong text in one file.

    Attributes:
        what: the mistake, in a line.
        file: under src/fokker.
        old: the right text, which is there once.
        new: the wrong one.
        tests: files under tests, or single tests in them, of which one has to fail.
    """

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
