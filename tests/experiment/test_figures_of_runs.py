"""The figures of a run: none of them ends it, and they are told the data's layout and units."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from matplotlib.figure import Figure

import fokker
import fokker.figures
import tiny_runs
from fokker.data import Batch
from fokker.diffusion.analysis.validation import AXIS, SIGMAS
from fokker.evaluations import sample
from fokker.evaluations.sample import Samples
from fokker.experiment.draw import draw_figures
from fokker.levels import Table
from fokker.machine.disk import DiskError
from fokker.machine.files import read_json
from fokker.metrics import SlicedW2
from fokker.store.records import FORMAT
from fokker.sweeps.joint import recorded_units


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """What is saved, by name; files would take ten times as long."""
    found: dict[str, Figure] = {}

    def save(figure: Figure, path: Path, heading: str = "") -> None:
        found[path.name] = figure

    monkeypatch.setattr(fokker.figures, "save", save)
    return found


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("shape must\nbe another"), "no figure trajectory: shape must be another"),
        (ZeroDivisionError("division by zero"), "trajectory: ZeroDivisionError: division by zero"),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_said_and_ends_nothing(
    error: Exception,
    said: str,
    workdir: Path,
    saved: dict[str, Figure],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with mock.patch.object(fokker.figures, "trajectory", side_effect=error):
        result = fokker.run([*tiny_runs.tiny("network=exact"), "evaluation.num_samples=20"])
    assert set(saved) == {"loss_per_level", "samples", "error_budget"}
    assert said in capsys.readouterr().out
    assert read_json(result.path / "run.json")["status"] == "completed"
    assert read_json(result.path / "run.json")["units"] == "data units"


def given(shape: tuple[int, ...], **data: Any) -> dict[str, Any]:
    """The arguments of `draw_figures`, of data in one dimension, or as they are given."""
    points = torch.randn(20, *shape, dtype=torch.float64) * 7 + 300
    known = {
        "shape": shape, "layout": "points", "unit_label": "data units", "law": None, "fresh": False,
        "held_out": lambda n: Batch(points[:n]), **data,
    }  # fmt: skip
    errors = torch.linspace(0.1, 1, len(SIGMAS)).tolist()
    row = {"sampler": "heun", "grid": "edm_rho", "nfe": 9, "num_steps": 5, "sliced_w2": 0.5}
    return {
        "model": SimpleNamespace(data=SimpleNamespace(**known), axis=AXIS, figures=lambda rows: {}),
        "curves": [{"step": 5, "loss": 0.4, "lr": 1e-3}],
        "losses": {"edm": Table(AXIS, SIGMAS.tolist(), [True] * 16, {"held_out": errors})},
        "own": Samples(points, 9, 0.1, points[None, :], torch.zeros(1)),
        "heading": "heun",
        "measures": {"sliced_w2": SlicedW2().measure},
        "rows": [row, {**row, "nfe": 19, "num_steps": 10}],
        "of_data": {"sliced_w2_data": 0.25},
        "reports": [],
    }


def test_figures_are_told_the_layout_and_the_units(saved: dict[str, Figure]) -> None:
    lines: list[str] = []
    arguments = given((9, 2), layout="series", unit_label="standard units")
    draw_figures(**arguments, folder=Path("figures"), say=lines.append)
    assert not lines
    assert saved["samples"].get_supylabel() == "standard units"
    assert saved["trajectory"].get_supxlabel() == "time, steps 0 to 8 of the series"
    assert saved["sliced_w2_against_nfe"].get_supylabel() == "sliced W2 (standard units)"
    draw_figures(**given((9, 2), layout="image"), folder=Path("figures"), say=lines.append)
    assert len(saved["samples"].axes[0].images) == 1
    draw_figures(**given((1,)), folder=Path("figures"), say=lines.append)
    assert saved["samples"].axes[0].get_xlabel().endswith("(data units)")
    assert not lines


def test_a_disk_that_is_full_ends_a_run_in_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    full = DiskError(28, "the disk is full", "figures/samples.png")
    monkeypatch.setattr(fokker.figures, "save", mock.Mock(side_effect=full))
    with pytest.raises(DiskError, match="full"):
        draw_figures(**given((1,)), folder=Path("figures"), say=lambda text: None)


def test_of_large_samples_few_are_kept_on_their_way(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tiny_runs.compose_experiment("network=exact")
    kept = []
    for numbers in (12, 2):
        monkeypatch.setattr(sample, "PATH_NUMBERS", numbers)
        samples = sample.draw_samples(made.plan.ways[0], 30, 0)
        kept.append(samples.states.shape[1])
    assert kept == [12, 8]


def test_runs_in_one_figure_have_common_units_or_each_its_own(tmp_path: Path) -> None:
    def run(name: str, **facts: str) -> Path:
        (tmp_path / name).mkdir()
        record = {"format": FORMAT, "status": "completed", **facts}
        (tmp_path / name / "run.json").write_text(json.dumps(record))
        return tmp_path / name

    standard, old = run("standard", units="standard units"), run("old")
    assert recorded_units([standard, standard]) == "standard units"
    # Records of before have no units.
    assert recorded_units([old, run("new", units="data units")]) == "data units"
    assert recorded_units([standard, old]) == "each run's own units"
