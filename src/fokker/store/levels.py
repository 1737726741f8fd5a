"""Losses over levels, read as a finished run has recorded them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fokker.levels import COLUMNS, FILE, Axis, Table
from fokker.machine.disk import DamagedError
from fokker.store.records import read_record
from fokker.store.run_files import read_table

_TRUTH = {"True": True, "False": False}


def read_levels(run: Path) -> Table | None:
    """Read the losses over the levels of a finished run; none if it recorded none.

    Raises:
        DamagedError: if they are not as they were written.
    """
    file, facts = run / FILE, read_record(run / "run.json").get("axis")
    if facts is None:
        return None
    if not file.is_file():
        raise DamagedError(file, "it is not there any more")
    rows = read_table(file)
    try:
        columns = {name: [float(row[name]) for row in rows] for name in ("level", *_names(rows))}
        trained = [_TRUTH[row["trained"]] for row in rows]
        return Table(Axis(**facts), columns.pop("level"), trained, columns)
    except KeyError as error:
        raise DamagedError(file, f"{error.args[0]} is missing") from error
    except (ValueError, TypeError) as error:
        raise DamagedError(file, str(error)) from error


def _names(rows: Sequence[Mapping[str, str]]) -> list[str]:
    return [name for name in COLUMNS if rows and name in rows[0]]
