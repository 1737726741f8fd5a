"""The runs that used a model, in its output folder and elsewhere.

Nothing here needs torch.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from fokker.machine.disk import DamagedError
from fokker.machine.files import json_lines
from fokker.store.records import FormatError, record_or_why

#: The file of a model's folder that lists the runs elsewhere which used it, one in a line.
USED_BY = "used_by.jsonl"
# The depth of the search: a sweep's job is two below the folder of all sweeps, and one is spare.
_DEPTH = 3


def uses_of(
    output_dir: Path, models: Sequence[Path]
) -> tuple[dict[str, list[float]], list[DamagedError]]:
    """Return when the runs that used a model were last written, by the model's name.

    Args:
        output_dir: the output folder whose runs and sweeps are searched.
        models: the folders of models, each with a list of the runs elsewhere that used it.
    Returns:
        the times in seconds since 1970, and errors for the records that cannot be read.
    """
    used: dict[str, list[float]] = {}
    unread: list[DamagedError] = []
    for place in ("runs", "sweeps"):
        for file in _records(output_dir / place, unread):
            if file.is_symlink() and not file.is_file():
                unread.append(DamagedError(file, "it is a link that leads to no file"))
                continue
            record, why = record_or_why(file)
            if isinstance(why, FormatError) and why.is_older:
                record = dict(why.known)  # If it used a model, then one of its own version.
            elif why:
                unread.append(why)
            model = record.get("model")
            if isinstance(model, dict) and isinstance(model.get("key"), str):
                used.setdefault(model["key"], []).append(file.stat().st_mtime)
    for folder in models:
        times, why = _outside(folder)
        if why:
            unread.append(why)
        if times:
            used.setdefault(folder.name, []).extend(times)
    return used, unread


def _records(folder: Path, unread: list[DamagedError], depth: int = _DEPTH) -> Iterator[Path]:
    """Yield the records of runs below a folder, also behind links; add errors to `unread`."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        unread.append(DamagedError(folder, f"it cannot be read: {error.strerror}"))
        return
    if "run.json" in names:
        yield folder / "run.json"
    if depth:
        for name in names:
            yield from _records(folder / name, unread, depth - 1)


def _outside(model: Path) -> tuple[list[float], DamagedError | None]:
    """Return when the runs elsewhere that used a model were last written, and an error if any.

    A run counts as deleted if it is gone from a folder that is there. If that folder is missing
    too, as on a disk that is not mounted, the run is taken to be as old as the list that names it.
    """
    file = model / USED_BY
    found: list[float] = []
    try:
        if not file.is_file():
            return [], None
        written = file.stat().st_mtime
        for _, held in json_lines(file):
            if isinstance(held, ValueError):
                raise held
            run = Path(held)
            if (run / "run.json").is_file():
                found.append((run / "run.json").stat().st_mtime)
            elif not run.parent.is_dir():
                found.append(written)
    except (OSError, ValueError, TypeError) as error:
        return found, DamagedError(file, f"it must hold a path a line, and does not ({error})")
    return found, None
