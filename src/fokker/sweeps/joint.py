"""Figures of several finished runs side by side, from the arrays that they recorded."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fokker.measures import common_units
from fokker.store.records import read_record
from fokker.store.run_files import read_arrays

MAX_RUNS = 6


def joint_figures(folders: Mapping[str, Path]) -> dict[str, Figure]:
    """Return figures by the name of their files, each of what two to six runs have recorded.

    These are the flow fields, marginal maps and steps maps of evaluation=flow_field, marginal_map
    and steps_map. A kind that fewer or more runs have recorded has no figure.

    Args:
        folders: the folders of finished runs, by label.
    """
    from fokker.figures import marginal_maps, steps_maps

    figures: dict[str, Figure] = {}
    units = recorded_units(folders.values())
    drawings: dict[str, Callable[..., Figure]] = {
        "flow_field": _flows,
        "marginal_map": marginal_maps,
        "steps_map": steps_maps,
    }
    for name, draw in drawings.items():
        files = {label: folder / f"{name}.npz" for label, folder in folders.items()}
        runs = {label: read_arrays(file) for label, file in files.items() if file.is_file()}
        if 2 <= len(runs) <= MAX_RUNS:
            figures[f"{name}s"] = draw(runs, units=units)
    return figures


def recorded_units(runs: Iterable[Path]) -> str:
    """Return the units of the distances of these runs, for one figure of them all."""
    return common_units([read_record(run / "run.json") for run in runs])


def _flows(runs: Mapping[str, Mapping[str, Any]], units: str) -> Figure:
    from fokker.figures import flow_fields

    # With network=exact both fields are the same.
    ideal = all(np.array_equal(run["exact"], run["learned"]) for run in runs.values())
    return flow_fields(runs, ("exact", "ideal denoiser" if ideal else "learned"), units)
