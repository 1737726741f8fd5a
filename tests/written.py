"""What commands have written below the current folder."""

import csv
from pathlib import Path

OUT = Path("outputs")


def contents() -> list[str]:
    """All that is there but locks."""
    return sorted(str(path) for path in OUT.rglob("*") if path.suffix != ".lock")


def only_sweep() -> Path:
    """The folder of the one sweep or search."""
    (found,) = (OUT / "sweeps").iterdir()
    return found


def sweep_rows() -> list[dict[str, str]]:
    """Its results.csv."""
    return table(only_sweep() / "results.csv")


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))
