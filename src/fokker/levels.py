"""Losses over a formulation's own axis, and `loss_per_level.csv`, in which a run records them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from fokker.machine.csv_files import csv_text
from fokker.machine.files import write_text

FILE = "loss_per_level.csv"
#: The columns of losses, with words for each. For fresh data the first two are of one law.
COLUMNS = {
    "loss": "loss",
    "held_out": "loss on held-out data",
    "floor": "floor",
    "excess": "excess",
}
_OF_MODEL = ("loss", "held_out", "excess")


@final
@dataclass(frozen=True)
class Axis:
    """The axis of a formulation's levels. Losses over equal axes can be compared.

    Attributes:
        name: the name of a level, as in `at sigma=0.1`.
        symbol: the symbol of a level, in figures.
        label: the label of the axis, in figures.
        quantity: the words for the loss at a level, in figures.
        unit: the unit of the loss.
        is_log: whether levels are positive and spread over orders of magnitude.
    """

    name: str
    symbol: str
    label: str
    quantity: str
    unit: str
    is_log: bool = False


@final
@dataclass(frozen=True)
class Table:
    """Losses at levels.

    Attributes:
        axis: the axis of the levels.
        level: the levels, (b,).
        trained: whether the model was trained there, (b,).
        columns: the losses by the names of `COLUMNS`, (b,) each; unknown ones are left out.
    Raises:
        ValueError: for a column of another name or length, or if there is no column or level.
    """

    axis: Axis
    level: Sequence[float]
    trained: Sequence[bool]
    columns: Mapping[str, Sequence[float]]

    def __post_init__(self) -> None:
        # A list always: levels are compared, and may have been given as a tuple or an array.
        object.__setattr__(self, "level", [float(level) for level in self.level])
        lengths = {len(self.trained), *map(len, self.columns.values())}
        if not self.columns or not self.columns.keys() <= COLUMNS.keys():
            raise ValueError(
                f"columns must be some of {', '.join(COLUMNS)}, got "
                f"{', '.join(self.columns) or 'none'}"
            )
        if not len(self.level):
            raise ValueError("level must have at least one level, got none")
        if lengths != {len(self.level)}:
            raise ValueError(f"columns must have {len(self.level)} levels, got {lengths}")

    @property
    def where_trained(self) -> dict[str, list[float]]:
        """Return the columns, with NaN for the model's losses where it was not trained."""
        return {
            name: [
                value if is_known or name not in _OF_MODEL else math.nan
                for value, is_known in zip(values, self.trained, strict=True)
            ]
            for name, values in self.columns.items()
        }

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each level: `level`, the columns, `trained`."""
        known = {name: self.columns[name] for name in COLUMNS if name in self.columns}
        columns = {"level": self.level, **known, "trained": self.trained}
        return [dict(zip(columns, row)) for row in zip(*columns.values(), strict=True)]

    def facts(self) -> dict[str, Any]:
        """Return the axis as run.json records it."""
        return asdict(self.axis)

    def write(self, folder: Path) -> None:
        """Write `loss_per_level.csv`."""
        write_text(folder / FILE, csv_text(self.rows, list(self.rows[0])))
