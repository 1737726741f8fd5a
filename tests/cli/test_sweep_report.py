"""What a sweep ends with, from job folders written by hand: tables, figures, report.html."""

import base64
import json
import math
import os
import re
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from fokker.diffusion.analysis.validation import AXIS, SIGMAS
from fokker.figures import save
from fokker.levels import Table
from fokker.machine.files import read_json, write_json
from fokker.sweeps import against_nfe as nfe_module
from fokker.sweeps.against_nfe import points_of
from fokker.sweeps.collection import Spread
from fokker.sweeps.figures import draw_results, study_comment
from fokker.sweeps.outcome import Outcome
from fokker.sweeps.report import MAX_JOBS
from fokker.sweeps.tables import results_table, seeds_table
from made_sweeps import PIXEL, Sweep, evaluation, metrics


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path / "a sweep")


def names_in(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lines_of(figure: Figure) -> dict[str, list[tuple[float, float]]]:
    axes = figure.axes[0]
    return {
        name: [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]
        for name, line in zip(names_in(figure), axes.lines)
    }


# ---- evaluations and their lines -------------------------------------------------------------


def test_every_evaluation_of_every_job_is_a_row_and_a_point(sweep: Sweep) -> None:
    for k, formulation in enumerate(("ddpm", "smld", "vp_sde", "edm")):
        own = [evaluation(n, (1 + k) / n) for n in (5, 10, 20)]
        sweep.add({"formulation": formulation}, metrics(1 / (1 + k)), own)
    names, figures = sweep.draw()
    assert names[0] == "w1_against_nfe.png"
    assert names[-1] == "report.html"
    table = sweep.table("evaluations.csv")
    assert list(table[0]) == ["formulation", *evaluation(1, 1), "folder"]
    assert [(r["formulation"], r["num_steps"], r["folder"]) for r in table] == [
        (f, n, f"{k:08x}")
        for k, f in enumerate(("ddpm", "smld", "vp_sde", "edm"))
        for n in ("5", "10", "20")
    ]
    lines = lines_of(figures["w1_against_nfe"])
    assert list(lines) == [f"formulation={f}" for f in ("ddpm", "smld", "vp_sde", "edm")]
    assert lines["formulation=smld"] == [(9, 0.4), (19, 0.2), (39, 0.1)]
    (axes,) = figures["w1_against_nfe"].axes
    ends = np.array([c.get_segments() for c in axes.collections])  # type: ignore[attr-defined]
    np.testing.assert_allclose(ends[1, 0, :, 1], [0.39, 0.41], rtol=1e-12)
    assert "from blocks of samples" in figures["w1_against_nfe"].get_supxlabel()


def test_samplers_and_grids_are_lines_where_a_job_has_several(sweep: Sweep) -> None:
    for width in ("16", "32"):
        rows = [evaluation(n, 1 / n, s) for s in ("heun", "ddim") for n in (5, 10)]
        sweep.add({"width": width}, metrics(1.0), rows)
    _, figures = sweep.draw()
    assert list(lines_of(figures["w1_against_nfe"])) == [
        "width=16, heun", "width=16, ddim", "width=32, heun", "width=32, ddim",
    ]  # fmt: skip


def test_a_swept_key_that_an_evaluation_has_is_the_evaluations(sweep: Sweep) -> None:
    for sampler in ("heun", "ddim"):
        for steps in (5, 10):
            # The same evaluation in several jobs is one point.
            rows = [evaluation(n, 1 / n, s) for s in ("heun", "ddim") for n in (steps, 40)]
            sweep.add({"sampler": sampler, "num_steps": str(steps)}, metrics(1.0), rows)
    _, figures = sweep.draw()
    table = sweep.table("evaluations.csv")
    assert list(table[0])[:4] == ["swept_sampler", "swept_num_steps", "sampler", "num_steps"]
    assert [table[1][name] for name in list(table[1])[:4]] == ["heun", "5", "heun", "40"]
    points = points_of(table, sweep.swept, "w1")
    assert [(dict(p.line), p.num_steps) for p in points] == [
        ({"sampler": f"sampler={s}"}, n)
        for s, n in zip(["heun"] * 2 + ["ddim"] * 2 + ["heun", "ddim"], (5, 40, 5, 40, 10, 10))
    ]
    lines = lines_of(figures["w1_against_nfe"])
    assert lines["sampler=ddim"] == [(9, 0.2), (19, 0.1), (79, 0.025)]


def test_swept_steps_alone_are_one_line(sweep: Sweep) -> None:
    for steps in (5, 10):
        sweep.add({"num_steps": str(steps)}, metrics(1 / steps), [evaluation(steps, 1 / steps)])
    _, figures = sweep.draw()
    assert list(figures) == ["w1_against_nfe"]
    assert lines_of(figures["w1_against_nfe"]) == {"heun": [(9, 0.2), (19, 0.1)]}
    assert list(sweep.table("evaluations.csv")[0])[:3] == ["num_steps", "sampler", "grid"]


def test_more_than_15_lines_are_panels(sweep: Sweep) -> None:
    for width in range(10):
        for formulation in ("ddpm", "edm"):
            rows = [evaluation(n, (1 + width) / n) for n in (5, 10)]
            sweep.add({"formulation": formulation, "width": str(width)}, metrics(1.0), rows)
    _, figures = sweep.draw()
    figure = figures["w1_against_nfe"]
    assert [axes.get_title() for axes in figure.axes] == ["formulation=ddpm", "formulation=edm"]
    assert names_in(figure) == [f"width={k}" for k in range(10)]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    # As few panels as do.
    keys = [{"a": str(i), "sampler": s} for i in range(8) for s in ("heun", "ddim")]
    assert nfe_module.panel_key(keys) == "sampler"
    assert nfe_module.panel_key(keys[:15]) is None


def test_40_settings_are_dots_and_their_best(sweep: Sweep) -> None:
    for k in range(40):
        own = [evaluation(5 if k % 2 else 10, 1 / (1 + k))]
        sweep.add({"lr": f"{k}e-5", "width": str(k % 2)}, metrics(1 / (1 + k)), own)
    names, figures = sweep.draw()
    figure = figures["w1_against_nfe"]
    assert names_in(figure) == ["width=0", "width=1", "the best up to each NFE"]
    assert [len(np.asarray(line.get_xdata())) for line in figure.axes[0].lines[:2]] == [20, 20]
    assert "The best: NFE 9: 0.025 (lr=39e-5, width=1)." in sweep.said
    # Those with width=0 differ from the first in lr alone.
    assert len(figures["single_changes"].axes[0].get_yticks()) == 20
    assert names == ["w1_against_nfe.png", "single_changes.png", "report.html"]


def test_a_search_is_dots_and_has_no_baseline(sweep: Sweep) -> None:
    values = [(0.1, 5), (0.2, 10), (0.3, 5)]
    for lr, steps in values:
        sweep.add({"lr": str(lr)}, metrics(lr), [evaluation(steps, lr)])
    rows = [{"trial": k, **row, "lr": values[k][0]} for k, row in enumerate(sweep.rows)]
    (sweep.folder / "figures").mkdir()
    also = sweep.folder / "figures" / "w1_of_trials.png"
    also.write_bytes(PIXEL)
    searched = Outcome(sweep.folder, rows, ["trial", "lr"], ["w1", "nfe"])
    found = draw_results(searched, also=[also])
    names = ["results.tex", "results.md", "w1_against_nfe.png", "report.html"]
    assert [path.name for path in found] == names
    assert sweep.page.find(".//h1").text == "Search over lr"  # type: ignore[union-attr]
    shown = [f.get("id") for f in sweep.page.iter("figure") if f.get("id")]
    assert shown == ["w1_against_nfe", "w1_of_trials"]
    assert also.is_file()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([0.1, 0.2], "no figure of w1 against NFE: all results have NFE 9"),
        ([math.nan, 0.0], "no figure of w1 against NFE: no result has a positive, finite w1"),
    ],
)
def test_why_there_is_no_figure_is_said_once(
    sweep: Sweep, capsys: pytest.CaptureFixture[str], values: list[float], says: str
) -> None:
    for k, w1 in enumerate(values):
        sweep.add({"width": str(k)}, metrics(w1), [evaluation(5, w1)])
    sweep.draw()
    assert capsys.readouterr().out.splitlines() == [says]
    assert says[1:] in sweep.said


# ---- over seeds ------------------------------------------------------------------------------


def test_seeds_are_averaged(sweep: Sweep) -> None:
    values = {"a": (1.0, 2.0, 6.0), "b": (5.0, 5.5, None), "c": (0.5, None, None)}
    for formulation, some in values.items():
        for seed, w1 in enumerate(some):
            own = {"formulation": formulation, "seed": str(seed)}
            if w1 is None:
                sweep.add(own)
            else:
                rows = [evaluation(n, w1 / n) for n in (5, 10)]
                sweep.add(own, metrics(w1, held_out_loss=3.0), rows)
    _, figures = sweep.draw()
    table = sweep.table("over_seeds.csv")
    assert [row["formulation"] for row in table] == ["a", "b", "c"]
    assert [row["w1_n"] for row in table] == ["3", "2", "1"]
    assert [float(row["w1_mean"]) for row in table] == [3.0, 5.25, 0.5]
    # statistics.stdev([1, 2, 6]) and of [5, 5.5]
    assert float(table[0]["w1_std"]) == pytest.approx(math.sqrt(7))
    assert float(table[1]["w1_std"]) == pytest.approx(math.sqrt(0.125))
    assert table[2]["w1_std"] == ""
    assert float(table[0]["held_out_loss_std"]) == 0
    assert not any("standard_error" in name or "seed" in name for name in table[0])
    shown = seeds_table(sweep.outcome())
    assert shown is not None
    assert shown.names == ["formulation", "seeds", "w1", "excess"]
    # sqrt(7/3), sqrt(0.125/2), and twice as much; the smallest error has one digit.
    assert shown.lines == [
        ("a", "3", "3.0 +- 1.5", "6.0 +- 3.1"),
        ("b", "2 of 3", "5.2 +- 0.2", "10.5 +- 0.5"),
        ("c", "1 of 3", "0.5", "1.0"),
    ]
    figure = figures["w1_against_nfe"]
    assert lines_of(figure)["formulation=a"] == [(9, 0.6), (19, pytest.approx(0.3))]
    (axes,) = figure.axes
    ends = [np.array(c.get_segments()) for c in axes.collections]  # type: ignore[attr-defined]
    # The third has one seed and no bar.
    assert len(ends) == 2
    np.testing.assert_allclose(ends[0][:, 1, 1], [(3 + math.sqrt(7 / 3)) / n for n in (5, 10)])
    assert "standard error of the mean over the seeds" in figure.get_supxlabel()
    bars = figures["single_changes"]
    assert "standard error of the mean over the seeds" in bars.get_supxlabel()
    assert [text.get_text() for text in bars.axes[0].texts] == ["3.00", "5.25", "0.500"]
    ends = [np.array(c.get_segments()) for c in bars.axes[0].collections]  # type: ignore[attr-defined]
    expected = [[m - s, m + s] for m, s in ((3, math.sqrt(7 / 3)), (5.25, 0.25))]
    np.testing.assert_allclose([e[0, :, 0] for e in ends], expected)
    assert "5.2 ± 0.2" in sweep.said


def test_a_metric_that_is_no_number_in_one_seed_has_no_mean() -> None:
    assert math.isnan(Spread.of([1.0, math.nan]).mean)
    assert Spread.of([1e200, 3e200]).std == pytest.approx(math.sqrt(2) * 1e200)


def test_without_seeds_there_is_no_table_over_them(sweep: Sweep) -> None:
    sweep.add({"width": "1"}, metrics(1.0))
    sweep.draw()
    assert seeds_table(sweep.outcome()) is None
    assert not (sweep.folder / "over_seeds.csv").exists()


# ---- single changes --------------------------------------------------------------------------


def test_only_single_changes_from_the_first_setting_have_bars(sweep: Sweep) -> None:
    for i, formulation in enumerate(("ddpm", "edm", "smld")):
        for j, width in enumerate(("16", "32")):
            w1 = 1 + 0.1 * i + 0.01 * j
            if (i, j) == (2, 0):
                sweep.add({"formulation": formulation, "width": width})
            else:
                own = {"formulation": formulation, "width": width}
                sweep.add(own, metrics(w1, denoising_error=3.0, sliced_w2=7 * w1))
    _, figures = sweep.draw("sliced_w2")
    figure = figures["single_changes"]
    axes = figure.axes[0]
    ticks = [text.get_text() for text in axes.get_yticklabels()]
    assert ticks == ["baseline", "formulation=edm", "formulation=smld", "width=32"]
    assert [text.get_text() for text in axes.texts] == ["1.00", "1.10", "failed", "1.01"]
    labels = [axes.get_xlabel().split()[0] for axes in figure.axes]
    assert labels == ["W1", "sliced", "excess", "denoising"]
    assert figure.get_suptitle() == "baseline: formulation=ddpm width=16"
    # One standard error of the samples; the others have none.
    ends = [np.array(c.get_segments()) for c in axes.collections]  # type: ignore[attr-defined]
    expected = [[w1 - 0.01, w1 + 0.01] for w1 in (1, 1.1, 1.01)]
    np.testing.assert_allclose([e[0, :, 0] for e in ends], expected)
    assert [len(axes.collections) for axes in figure.axes] == [3, 0, 0, 0]


def test_named_settings_are_bars_in_their_order(sweep: Sweep) -> None:
    for k, name in enumerate(("A", "A+B", "B")):
        sweep.add({"setting": name}, metrics(1.0 + k))
    _, figures = sweep.draw()
    axes = figures["single_changes"].axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["A", "A+B", "B"]
    assert [text.get_text() for text in axes.texts] == ["1.00", "2.00", "3.00"]


def test_bars_of_unlike_cost_are_said_to_be(sweep: Sweep) -> None:
    for name, nfe in (("ddpm", 5.0), ("edm", 9.0), ("smld", 26.0)):
        sweep.add({"formulation": name}, metrics(1.0, nfe=nfe))
    _, figures = sweep.draw()
    title = figures["single_changes"].get_suptitle()
    assert title == "baseline: formulation=ddpm (NFE from 5 to 26)"
    assert "Not at equal cost: NFE from 5 to 26." in (sweep.folder / "report.html").read_text()


def test_too_many_bars_are_said(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(31):
        sweep.add({"width": str(k)}, metrics(1.0))
    _, figures = sweep.draw()
    assert "single_changes" not in figures
    says = "no figure of single changes: 31 bars are too many, at most 30"
    assert says in capsys.readouterr().out.splitlines()


# ---- the models ------------------------------------------------------------------------------


def add_levels(job: Path, value: float) -> None:
    """Give a job losses of value + sigma^2 over a floor of sigma^2."""
    floor = (SIGMAS**2).tolist()
    columns = {
        "loss": [value + least for least in floor], "held_out": [2.0] * 16, "floor": floor,
        "excess": [value] * 16,
    }  # fmt: skip
    table = Table(AXIS, SIGMAS.tolist(), [True] * 16, columns)
    table.write(job)
    write_json(job / "run.json", {**read_json(job / "run.json"), "axis": table.facts()})


def test_models_on_the_same_data_are_one_figure_of_losses(sweep: Sweep) -> None:
    for value, (width, seed) in zip((1.0, 3.0, 8.0), (("16", "1"), ("16", "2"), ("32", "1"))):
        for steps in ("5", "10"):
            own = {"width": width, "seed": seed, "num_steps": steps}
            path = sweep.add(own, metrics(1.0))
            add_levels(path, value)
            data = {"low": 0, "seed": int(seed), "batch_size": int(width)}
            (path / "config.yaml").write_text(json.dumps({"data": data}))
    _, figures = sweep.draw()
    above, below = figures["loss_per_level"].axes
    assert names_in(figures["loss_per_level"]) == ["width=16", "width=32", "floor (exact)"]
    sigmas = SIGMAS.numpy()
    for k, value in enumerate((2.0, 8.0)):
        np.testing.assert_allclose(np.asarray(above.lines[k].get_ydata()), value + sigmas**2)
        np.testing.assert_allclose(np.asarray(below.lines[k].get_ydata()), value)
    np.testing.assert_allclose(np.asarray(above.lines[2].get_ydata()), sigmas**2)


def test_other_data_are_other_figures_and_one_model_is_none(sweep: Sweep) -> None:
    for data in ("a", "b", "c"):
        for width in ("16", "32")[: 1 if data == "c" else 2]:
            path = sweep.add({"data": data, "width": width}, metrics(1.0))
            add_levels(path, int(width))
            (path / "config.yaml").write_text(json.dumps({"data": {"of": data}}))
    _, figures = sweep.draw()
    assert [name for name in figures if "level" in name] == ["loss_per_level_1", "loss_per_level_2"]


def test_two_settings_with_one_model_are_one_line_of_both_names(sweep: Sweep) -> None:
    for name, value in (("A", 1.0), ("B", 2.0), ("C", 1.0)):
        add_levels(sweep.add({"setting": name}, metrics(1.0)), value)
    _, figures = sweep.draw()
    assert names_in(figures["loss_per_level"])[:2] == ["setting=A,C", "setting=B"]


def test_joint_figures_are_of_one_job_a_setting(sweep: Sweep) -> None:
    for formulation in "abcde":
        for steps in ("5", "10"):
            for seed in ("1", "2"):
                own = {"formulation": formulation, "num_steps": steps, "seed": seed}
                if (formulation, seed) == ("a", "1"):
                    sweep.add(own)
                else:
                    sweep.add(own, metrics(1.0))
    flows = {"flows": Figure()}
    with mock.patch("fokker.sweeps.joint.joint_figures", return_value=flows) as one:
        names, _ = sweep.draw()
    folders = {f"formulation={f}": k for f, k in zip("abcde", (1, 4, 8, 12, 16))}
    given = one.call_args.args[0]
    assert given == {label: sweep.folder / f"{k:08x}" for label, k in folders.items()}
    assert "flows.png" in names
    assert "Flows, these data, side by side (5 of 10 settings)." in sweep.said


# ---- the report ------------------------------------------------------------------------------

HOSTILE = "<script>alert(1)</script> & \"quotes\" 'single' \x1b[31mred\x1b[0m \x00 \u2028 ü"


def test_the_report_is_one_file_of_well_formed_escaped_html(sweep: Sweep) -> None:
    path = sweep.add({"name": HOSTILE}, metrics(0.5), [evaluation(5, 0.5), evaluation(9, 0.2)])
    (path / "figures").mkdir()
    wide = Figure(figsize=(6.5, 2))
    wide.add_subplot().plot([1, 2])
    save(wide, path / "figures" / "samples")
    sweep.add({"name": "other"}, None, error=f"ValueError: {HOSTILE}")
    comment = f"Does {HOSTILE} help?\n\nYes."
    sweep.draw("w1", comment=comment, command="fokker -m 'a=<1>,2' +sweeps=my_study")
    page = sweep.page
    assert not list(page.iter("script"))
    assert page.find(".//h1").text == "my_study"  # type: ignore[union-attr]
    text = (sweep.folder / "report.html").read_text()
    assert "\x1b" not in text
    assert "\x00" not in text
    for part in ("Does <script>alert(1)</script>", "fokker -m 'a=<1>,2' +sweeps=my_study"):
        assert part in sweep.said
    assert "2: 1 completed, 1 failed" in sweep.said
    assert "0.500 ± 0.010" in sweep.said
    assert "fokker 7.8.9" in sweep.said
    # Nothing from elsewhere: every image is inside, and nothing is linked.
    for element in page.iter():
        assert "href" not in element.attrib
        assert element.tag not in ("link", "iframe", "object")
    sources = [image.get("src", "") for image in page.iter("img")]
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"url\(|@import|https?:", text)
    # A job's figure is at most 900 pixels wide.
    picture = base64.b64decode(sources[-1].partition(",")[2])
    assert int.from_bytes(picture[16:20], "big") == 900
    assert len(picture) < (path / "figures" / "samples.png").stat().st_size
    # The failed one says why, below its row and in its part.
    bad = [row for row in page.iter("tr") if row.get("class") == "bad"]
    assert "ValueError: <script>alert(1)" in "".join(bad[1].itertext())
    assert len(list(page.iter("details"))) == 2
    assert [row.get("class") for row in page.iter("tr")][1] == "best"


def test_jobs_beyond_a_number_have_no_figures_in_it(sweep: Sweep) -> None:
    for k in range(MAX_JOBS + 3):
        path = sweep.add({"width": str(k)}, metrics(1.0 + k)) / "figures"
        path.mkdir()
        (path / "samples.png").write_bytes(PIXEL if k else b"broken")
    sweep.draw()
    details = list(sweep.page.iter("details"))
    shown = [len(list(part.iter("img"))) for part in details]
    assert shown == [0] + [1] * (MAX_JOBS - 1) + [0] * 3
    assert f"shown of {MAX_JOBS} jobs; those of 3 more are in their folders." in sweep.said
    assert "samples.png cannot be read" in sweep.said


def test_a_sweep_of_which_nothing_is_completed_has_a_report(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.add({"width": "1", "seed": "1"}, None, error="ValueError: no")
    sweep.add({"width": "2", "seed": "1"}, None, status="running", versions={})
    names, figures = sweep.draw()
    assert (names, figures) == (["report.html"], {})
    assert "2: 1 failed, 1 killed" in sweep.said
    assert "ValueError: no" in sweep.said
    assert sweep.table("evaluations.csv") == []
    assert capsys.readouterr().out == ""
    assert "width" in results_table(sweep.outcome(), sweep.rows).names


def test_what_is_there_is_left_alone_until_something_changes(sweep: Sweep) -> None:
    for k in range(2):
        sweep.add({"width": str(k)}, metrics(1.0 + k), [evaluation(5 + k, 1.0)])
    (sweep.folder / "figures").mkdir()
    (sweep.folder / "figures" / "mine.png").write_bytes(PIXEL)
    whole = ["w1_against_nfe.png", "single_changes.png", "report.html"]
    assert sweep.draw("excess", command="c")[0] == whole
    assert sweep.draw("excess", command="c")[0] == ["report.html"]
    (sweep.folder / "figures" / "single_changes.png").unlink()
    assert sweep.draw("excess", command="c")[0] == whole
    (sweep.folder / "evaluations.csv").unlink()
    assert sweep.draw("excess", command="c")[0] == whole
    assert sweep.draw("w1", command="c")[0] == whole
    # A shorter sweep is of its own rows, and its figures alone are left.
    sweep.jobs.pop()
    assert sweep.draw("w1", command="c")[0] == ["report.html"]
    assert [p.name for p in (sweep.folder / "figures").iterdir()] == ["mine.png"]
    assert [p.name for p in sweep.folder.iterdir() if "tmp" in p.name] == []


def test_an_error_while_drawing_is_one_line_and_is_tried_again(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    for k in range(2):
        sweep.add({"width": str(k)}, metrics(1.0 + k), [evaluation(5 + k, 1.0)])
    with mock.patch("fokker.figures.factor_bars", side_effect=RuntimeError("no\nfont")):
        names, _ = sweep.draw()
    assert names == ["w1_against_nfe.png", "report.html"]
    said = capsys.readouterr().out
    assert said == "no figure of single changes: RuntimeError: no font\n"
    assert "RuntimeError: no font" in sweep.said
    assert sweep.draw()[0] == ["w1_against_nfe.png", "single_changes.png", "report.html"]
    (sweep.folder / "report.html").unlink()
    with mock.patch("fokker.sweeps.report.write_text", side_effect=OSError("disk full")):
        assert sweep.draw()[0] == ["w1_against_nfe.png", "single_changes.png"]
    assert capsys.readouterr().out == "no report: OSError: disk full\n"


def test_the_command_is_what_was_typed(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep.add({"width": "1"}, metrics(1.0))
    monkeypatch.setattr(sys, "argv", ["/bin/fokker", "a=[1, 2]", "b=1,2", "-m"])
    sweep.draw()
    assert "fokker -m 'a=[1, 2]' b=1,2" in sweep.said


def test_the_comment_of_a_study_is_the_head_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "mine.yaml").write_text(
        "# @package _global_\n# Why?\n#\n# Because.\ndefaults: []\n# not this\n"
    )
    runtime = {
        "choices": {"sweeps": "mine"},
        "config_sources": [
            {"schema": "pkg", "path": "hydra.conf"},
            {"schema": "file", "path": str(tmp_path)},
        ],
    }
    config = OmegaConf.create({"hydra": {"runtime": runtime}})
    assert study_comment(config) == "Why?\n\nBecause."
    config.hydra.runtime.choices = {"data": "uniform"}
    assert study_comment(config) == ""


def test_the_time_of_a_sweep_is_from_its_first_start_to_its_last_end(sweep: Sweep) -> None:
    for k, end in enumerate((1_000_000_000, 1_000_007_200)):
        path = sweep.add({"width": str(k)}, metrics(1.0), seconds=1800.0)
        os.utime(path / "run.json", (end, end))
    sweep.draw()
    found = re.search(r"run(\S+) (\d+):(\d+) to (\S+) (\d+):(\d+) ?jobs took", sweep.said)
    assert found is not None
    begun, ended = (60 * int(found[k]) + int(found[k + 1]) for k in (2, 5))
    assert (ended - begun) % 1440 == 150
    assert "jobs took60 min" in sweep.said
    assert read_json(sweep.folder / "00000000" / "run.json")["seconds"] == 1800.0
