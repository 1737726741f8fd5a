"""Sweeps whose job folders are written by hand, for what is made of them."""

import base64
import csv
import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from matplotlib.figure import Figure

from fokker.diffusion.measures import measures_named
from fokker.measures import facts_of_measures
from fokker.metrics import W1, Energy, Memorisation, SlicedW2
from fokker.store.records import FORMAT
from fokker.sweeps.figures import draw_results
from fokker.sweeps.jobs import Job, Row
from fokker.sweeps.outcome import Outcome

OPTIONS = {
    "w1": W1, "sliced_w2": SlicedW2, "energy_distance": Energy,
    "nearest_neighbour_ratio": Memorisation,
}  # fmt: skip
#: What a run says of its numbers.
MEASURES = {
    **{name: option().measure for name, option in OPTIONS.items()},
    **measures_named(["denoising_error", "likelihood_nll", "w2"]),
}

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Sweep:
    """A sweep's folder, filled by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.jobs = folder, list[Job]()

    def add(
        self,
        swept: Mapping[str, str],
        metrics: Mapping[str, Any] | None = None,
        evaluations: Sequence[Mapping[str, Any]] = (),
        **record: Any,
    ) -> Path:
        """A job; completed if it has metrics."""
        job = Job(self.folder, f"{len(self.jobs):08x}", (), dict(swept))
        path = job.folder(1)
        path.mkdir(parents=True)
        status = "failed" if metrics is None else "completed"
        facts = {
            "format": FORMAT, "status": status, "training": "trained",
            "model": {"key": f"m{len(self.jobs)}"},
            "seconds": 2.0, "overrides": [f"{k}={v}" for k, v in swept.items()],
            "versions": {"fokker": "7.8.9"},
            "metrics": [name for name in OPTIONS if name in (metrics or OPTIONS)],
            "measures": facts_of_measures(MEASURES),
        }  # fmt: skip
        (path / "run.json").write_text(json.dumps({**facts, **record}))
        if metrics is not None:
            (path / "metrics.json").write_text(json.dumps(metrics))
        if evaluations:
            with (path / "evaluations.csv").open("w") as handle:
                writer = csv.DictWriter(handle, list(evaluations[0]))
                writer.writeheader()
                writer.writerows(evaluations)
        self.jobs.append(job)
        return path

    @property
    def rows(self) -> list[Row]:
        return [job.row() for job in self.jobs]

    @property
    def swept(self) -> list[str]:
        return list(self.jobs[0].swept)

    def outcome(self, *objectives: str) -> Outcome:
        """What the jobs have come to."""
        return Outcome(self.folder, self.rows, self.swept, objectives)

    def draw(self, *objectives: str, **more: Any) -> tuple[list[str], dict[str, Figure]]:
        """Names of the files but the tables for a paper, and the figures that were saved."""
        figures: dict[str, Figure] = {}

        def keep(figure: Figure, path: Path, heading: str) -> Path:
            assert heading
            figures[path.name] = figure
            path.parent.mkdir(exist_ok=True)
            path.with_suffix(".png").write_bytes(PIXEL)
            return path.with_suffix(".png")

        with mock.patch("fokker.figures.save", keep):
            found = draw_results(self.outcome(*objectives), **more)
        return [p.name for p in found if p.suffix not in (".tex", ".md")], figures

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name).open() as handle:
            return list(csv.DictReader(handle))

    @property
    def page(self) -> ET.Element:
        """The report, which must be well-formed."""
        text = (self.folder / "report.html").read_text()
        return ET.fromstring(text.removeprefix("<!DOCTYPE html>"))

    @property
    def said(self) -> str:
        """All of its text."""
        return " ".join("".join(self.page.find("body").itertext()).split())  # type: ignore[union-attr]


def evaluation(num_steps: Any, w1: Any, sampler: str = "heun", **more: Any) -> dict[str, Any]:
    return {
        "sampler": sampler, "grid": "g", "num_steps": num_steps, "nfe": 2.0 * num_steps - 1,
        "weights": "ema", "w1": w1, "w1_standard_error": 0.01, "seconds": 1.0, **more,
    }  # fmt: skip


def metrics(w1: float, **more: Any) -> dict[str, Any]:
    return {"nfe": 9.0, "w1": w1, "w1_standard_error": 0.01, "excess": 2 * w1, **more}
