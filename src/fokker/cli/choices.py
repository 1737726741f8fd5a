"""What was chosen on the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final


@final
@dataclass(frozen=True)
class Choices:
    """What was chosen on the command line.

    Attributes:
        options: the option of each group.
        sources: where options are found.
        overrides: as typed.
    """

    options: Mapping[str, str]
    sources: Sequence[Any]
    overrides: Sequence[str]
