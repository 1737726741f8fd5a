"""Searches whose jobs are a function of their values: nothing is composed or trained, no torch."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from omegaconf import OmegaConf

from children import Child
from fokker.machine.signals import STOPS
from fokker.search.sweeper import SearchSweeper
from fokker.store.job_folders import job_lock, write_json
from fokker.store.records import FORMAT
from fokker.sweeps.collection import Progress
from fokker.sweeps.jobs import Job

Values = dict[str, str]
Ends = Callable[[Values], dict[str, float]]
SETTINGS = """
{objective: null, fail_fast: false, task: run, output_dir: outputs,
 hydra: {sweep: {dir: outputs/sweeps}, runtime: {config_sources: []}}}
"""


def search(what: Ends, *typed: str) -> int:
    """Search as the command line would with what is typed; the exit code.

    Args:
        what: from the values of a job to its metrics; it may raise ValueError, for a failure,
            Interrupted, or ProcessLookupError, for a job whose own process was killed.
        typed: overrides, those of the sweeper and of the search's own keys among them.
    """
    keys = OmegaConf.create(SETTINGS)
    own = [text for text in typed if text.partition("=")[0] in ("objective", "fail_fast", "task")]
    keys.merge_with_dotlist([t for t in typed if t.startswith("hydra.sweep.")])
    keys.merge_with_dotlist(own)
    sweeper = "hydra.sweeper."
    options = [t.removeprefix(sweeper) for t in typed if t.startswith(sweeper)]
    searching = SearchSweeper(**dict(OmegaConf.from_dotlist(options)))  # type: ignore[arg-type]
    searching._settings, searching._loader = keys, None  # type: ignore[assignment]

    def launch(self: Any, batch: Sequence[Job], progress: Progress) -> None:
        for job in batch:
            path = job.next_folder
            with job_lock(path):
                write_json(path / "run.json", {"format": FORMAT, "status": "running"})
                write_json(path / "run.json", record(path, what, job))
            progress.end(job, job.row(), True)

    with (
        mock.patch.object(SearchSweeper, "_launch", launch),
        mock.patch.object(SearchSweeper, "_check_probes"),
        mock.patch("fokker.search.results.Results.draw", return_value=[]),
        mock.patch("fokker.search.sweeper.present"),
    ):
        try:
            searching.sweep([t for t in typed if not t.startswith("hydra.") and t not in own])
        except SystemExit as stop:
            return int(stop.code or 0)
    return 0


def record(path: Path, what: Ends, job: Job) -> dict[str, Any]:
    """What run.json says at the end of a job."""
    try:
        write_json(path / "metrics.json", what(dict(o.split("=", 1) for o in job.overrides)))
    except ValueError as error:
        return {"format": FORMAT, "status": "failed", "error": str(error), "seconds": 0.5}
    except ProcessLookupError:
        return {"format": FORMAT, "status": "running"}
    except STOPS:
        write_json(path / "run.json", {"format": FORMAT, "status": "interrupted"})
        raise
    return {"format": FORMAT, "status": "completed", "seconds": 0.5}


def process(what: str, *typed: str) -> Child:
    """The same as a process of its own, which says `ready` and waits for a file `go`.

    Args:
        what: lines of the function's body, with `values` as its argument.
    """
    return Child(_search, what, *typed, folder=Path.cwd(), env=dict(os.environ))


def _search(what: str, *typed: str) -> None:
    names: dict[str, Any] = {"os": os, "time": time, "bowl": bowl}
    exec("\n    ".join(["def what(values):", *what.splitlines()]), names)
    print("ready")
    while not os.path.exists("go"):
        time.sleep(0.01)
    sys.exit(search(names["what"], *typed))


def bowl(values: Values) -> dict[str, float]:
    """Least, w1 = 0.1, at lr 0.001 and depth 1."""
    import math

    depth = int(values["network.depth"])
    return {"w1": (math.log10(float(values["optimizer.lr"])) + 3) ** 2 + 0.1 * depth, "nfe": depth}
