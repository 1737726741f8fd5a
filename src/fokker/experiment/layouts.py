"""What figures and tables are told of the data: how samples lie, and in which units they count."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from fokker.data import DataModule
from fokker.experiment.files import read_json

if TYPE_CHECKING:
    from fokker.figures.layouts import Layout

DATA_UNITS = "data units"


def layout_of(data: DataModule) -> "Layout | None":
    """Return the layout of samples: points, image, volume or series; None: by their rank."""
    layout: Layout | None = getattr(data, "layout", None)
    return layout


def units_of(data: DataModule) -> str:
    """Return the name of the units in which samples and distances count."""
    return str(getattr(data, "units", None) or DATA_UNITS)


def recorded_units(runs: Iterable[Path]) -> str:
    """Return the units in which the runs of these folders count, for one figure of them all."""
    found = {str(read_json(run / "run.json").get("units", DATA_UNITS)) for run in runs}
    return found.pop() if len(found) == 1 else "each run's own units"
