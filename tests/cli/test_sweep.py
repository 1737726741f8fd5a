"""`fokker -m`: every job once, whatever happens, and one table of them all."""

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
import torch

from fokker.cli.main import main
from fokker.experiment.metric_names import measures_of
from fokker.machine.files import read_json
from fokker.machine.signals import Interrupted
from fokker.store.job_folders import job_lock
from fokker.store.job_names import job_id, job_name, short_values
from fokker.sweeps.running import run_in_sweep
from tiny_runs import TINY, compose_experiment, process, run
from written import only_sweep, sweep_rows

pytestmark = pytest.mark.usefixtures("workdir")

SWEEP = ("-m", *TINY, "trainer.max_steps=6")
GRID = ("formulation=ddpm,edm", "sampler.num_steps=2,3,4")
SMALL = ("formulation=ddpm,edm", "sampler.num_steps=2,3")
STATE = ("seconds", "folder", "training")


class Said(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """The command in this process, without figures."""

    def call(*arguments: str, start: tuple[str, ...] = SWEEP) -> Said:
        monkeypatch.setattr("sys.argv", ["fokker", *start, *arguments])
        code = 0
        with no_figures():
            try:
                main()
            except SystemExit as stop:
                code = int(stop.code or 0)
        return Said(code, *capfd.readouterr())

    return call


@contextmanager
def no_figures() -> Iterator[None]:
    with (
        mock.patch.object(sys.modules["fokker.experiment.run"], "draw_figures"),
        mock.patch("fokker.sweeps.presentation.draw_results", return_value=[]),
    ):
        yield


def column(name: str) -> list[str]:
    return [row[name] for row in sweep_rows()]


def models() -> list[str]:
    return sorted(p.name for p in Path("outputs/models").iterdir() if p.is_dir())


def job_files() -> dict[str, int]:
    """What lies in the jobs' folders, and when it was written."""
    files = [p for job in only_sweep().iterdir() if job.is_dir() for p in job.rglob("*")]
    return {str(p): p.stat().st_mtime_ns for p in files if p.is_file()}


def stable(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Rows without what may differ between one start and several."""
    return [{name: v for name, v in row.items() if name not in STATE} for row in rows]


# ---- a whole sweep -------------------------------------------------------------------------


def test_models_are_trained_once_each_and_every_job_has_a_row(sweep: Any) -> None:
    said = sweep(*GRID)
    assert said[::2] == (0, "")
    assert len(models()) == 2
    found = sweep_rows()
    assert [(row["formulation"], row["num_steps"]) for row in found] == [
        (formulation, steps) for formulation in ("ddpm", "edm") for steps in "234"
    ]
    assert column("status") == ["completed"] * 6
    assert column("training") == ["trained", "found", "found"] * 2
    assert sorted(set(column("model"))) == models()
    for row in found:
        metrics = read_json(only_sweep() / row["folder"] / "metrics.json")
        for name, value in metrics.items():
            if value is not None:
                assert float(row[name]) == pytest.approx(value, rel=1e-12)
        assert row["error"] == ""
        assert float(row["seconds"]) > 0
    # The numbers are those of single runs.
    alone = run("trainer.max_steps=6", "formulation=edm", "sampler.num_steps=3")
    assert float(found[4]["w1"]) == alone.metrics["w1"]
    # A line a job while it goes on, and a table at the end.
    lines = said.out.splitlines()
    assert lines[0] == f"sweep    {only_sweep()}"
    assert lines[2].startswith("[2/6] formulation=ddpm num_steps=3: completed in ")
    assert f"(found model {found[1]['model']}); 4 left, about " in lines[2]
    table = [line.split() for line in lines if line.startswith("  ")]
    shown = ["formulation", "num_steps", "status", "w1", "nfe", "relative_excess", "seconds"]
    assert table[0] == shown
    assert [row[:3] for row in table[1:]] == [[row[name] for name in shown[:3]] for row in found]
    # One more digit than its error may hide; all with the same decimals.
    assert {row[4] for row in table[1:]} == {"+-"}
    assert len({len(row[3].partition(".")[2]) for row in table[1:]}) == 1
    for row, cells in zip(found, table[1:]):
        assert float(cells[3]) == pytest.approx(float(row["w1"]), rel=0.05)
    assert f"results  {only_sweep() / 'results.csv'}" in lines
    assert lines[-2].startswith(
        "6 jobs: 6 completed (0 of them before), 0 failed; 2 models trained; "
    )
    least = min(found, key=lambda row: float(row["w1"]))
    name = f"{least['formulation']} with {least['num_steps']} steps"
    assert lines[-1].startswith(f"answer   On uniform, {name} has the lowest W1, 0.")
    assert lines[lines.index(next(n for n in lines if n.startswith("  "))) - 1].startswith(
        "on uniform; w1 is W1 (data units), lower is better; relative_excess is "
    )
    assert only_sweep().name.startswith("formulation-num_steps-")


def test_what_is_done_is_neither_run_nor_written_nor_composed_again(sweep: Any) -> None:
    sweep(*SMALL)
    files, rows = job_files(), sweep_rows()
    with mock.patch("hydra._internal.config_loader_impl.ConfigLoaderImpl.load_sweep_config") as one:
        said = sweep(*SMALL)
    one.assert_not_called()
    assert said[::2] == (0, "")
    assert (job_files(), sweep_rows()) == (files, rows)
    assert "4 completed (4 of them before), 0 failed; 0 models trained; " in said.out
    # The order of keys and of values is another order of rows and no other sweep.
    said = sweep("sampler.num_steps=3,2", "formulation=ddpm,edm")
    assert "4 completed (4 of them before)" in said.out
    assert job_files() == files
    assert column("num_steps") == ["3", "3", "2", "2"]


@pytest.mark.long
def test_a_sweep_says_each_minute_how_far_its_job_is(
    sweep: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fokker.machine.progress.LINE_SECONDS", 0.02)
    said = sweep("sampler.num_steps=2,3")
    for job, last in (("num_steps=2", "training edm-uniform-"), ("num_steps=3", "")):
        assert re.search(rf"^ +{job}: .*{last}", said.out, re.MULTILINE)


@pytest.mark.long
def test_a_longer_sweep_runs_the_new_jobs_alone(sweep: Any) -> None:
    sweep("sampler.num_steps=2,3")
    files = job_files()
    said = sweep("sampler.num_steps=2,3,4", "objective=w1")
    assert "[3/3] num_steps=4: completed" in said.out
    assert "[2/3]" not in said.out
    assert {name: t for name, t in job_files().items() if name in files} == files
    assert column("num_steps") == ["2", "3", "4"]
    assert len(models()) == 1
    # A shorter one is a table of its own jobs, not of what lies there.
    said = sweep("sampler.num_steps=4,2")
    assert column("num_steps") == ["4", "2"]
    assert "without 1 finished job of other commands in this folder" in said.out
    # Other unswept overrides are another sweep.
    sweep("sampler.num_steps=2", "sampler.alpha=0.5", start=("-m", *TINY, "seed=1,2"))
    assert len(list(Path("outputs/sweeps").iterdir())) == 2
    # And so are other keys that are as short.
    sweep("evaluation.num_steps=[2],[3]")
    names = sorted(path.name.rpartition("-")[0] for path in Path("outputs/sweeps").iterdir())
    assert names == ["num_steps", "num_steps", "seed"]


def test_the_users_folder_wins(sweep: Any) -> None:
    said = sweep("sampler.num_steps=2,3", "hydra.sweep.dir=my sweeps/a")
    assert said.code == 0
    assert Path("my sweeps/a/results.csv").is_file()
    assert len(read_json(Path("my sweeps/a/jobs.json"))["jobs"]) == 2
    assert not Path("outputs/sweeps").exists()


@pytest.mark.long
def test_a_study_names_its_sweep_and_changes_its_jobs(sweep: Any) -> None:
    study = Path("mine/sweeps/my_steps.yaml")
    study.parent.mkdir(parents=True)
    text = (
        "# @package _global_\ndefaults: [{override /formulation: ddpm}]\n"
        "evaluation: {num_samples: 30}\n"
        "hydra: {mode: MULTIRUN, sweeper: {params: {sampler.num_steps: '2,3'}}}\n"
    )
    study.write_text(text)
    typed = (*TINY[:-2], "trainer.max_steps=6", "+sweeps=my_steps", "--config-dir=mine")
    said = sweep(start=typed)
    assert said.code == 0
    assert only_sweep().name.startswith("my_steps-")
    config = (only_sweep() / sweep_rows()[0]["folder"] / "config.yaml").read_text()
    assert "num_samples: 30" in config
    assert models()[0].startswith("ddpm")
    study.write_text(text.replace("'2,3'", "'2,3,4'"))
    assert "3 completed (2 of them before)" in sweep(start=typed).out
    assert only_sweep().name.startswith("my_steps-")
    # What a study sets besides its grid is part of its jobs.
    study.write_text(text.replace("30", "40"))
    assert "2 completed (0 of them before)" in sweep(start=typed).out


@pytest.mark.long
def test_the_figure_is_of_the_metric_against_nfe(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["fokker", *SWEEP, *GRID[:1], "sampler.num_steps=2,3"])
    with (
        mock.patch.object(sys.modules["fokker.experiment.run"], "draw_figures"),
        mock.patch("fokker.figures.metric_against_nfe", wraps=fokker_figure()) as drawn,
    ):
        main()
    figure = only_sweep() / "figures" / "w1_against_nfe.png"
    assert figure.is_file()
    assert f"figure   {figure}" in capfd.readouterr().out
    points, metric = drawn.call_args.args
    assert metric == "w1"
    assert [p["line"] for p in points] == ["formulation=ddpm"] * 2 + ["formulation=edm"] * 2
    assert [p["nfe"] for p in points] == [2, 3, 3, 5]


def fokker_figure() -> Any:
    from fokker.figures import metric_against_nfe

    return metric_against_nfe


# ---- failures ------------------------------------------------------------------------------

EDN = "formulation=edn is not an option; did you mean edm? There are ddpm, edm, smld, vp_sde"


def test_a_failed_job_has_a_row_and_the_others_go_on(sweep: Any) -> None:
    said = sweep("sampler.num_steps=2,0,3", "formulation=edm,edn")
    assert said.code == 1
    assert said.err.splitlines() == [
        f"warning: num_steps={n} formulation={name} will fail: {why}"
        for n, name, why in (
            (2, "edn", EDN), (0, "edm", "sampler.num_steps must be at least 1, got 0"),
            (0, "edn", EDN), (3, "edn", EDN),
        )
    ]  # fmt: skip
    assert column("status") == ["completed", "failed", "failed", "failed", "completed", "failed"]
    rows = sweep_rows()
    assert rows[2]["error"] == "ValueError: sampler.num_steps must be at least 1, got 0"
    assert "formulation=edn is not an option; did you mean edm?" in rows[1]["error"]
    for row in rows:
        path = only_sweep() / row["folder"]
        record = read_json(path / "run.json")
        if row["status"] == "failed":
            assert record["status"] == "failed"
            assert "Traceback" in (path / "traceback.txt").read_text()
            assert float(record["seconds"]) >= 0
            assert row["w1"] == ""
    assert "num_steps=0 formulation=edm: failed in " in said.out
    assert "(ValueError: sampler.num_steps must be at least 1, got 0); 2 failed, 3 left" in said.out
    assert "6 jobs: 2 completed (0 of them before), 4 failed; 1 model trained" in said.out
    # Again: what failed is tried once more beside its first try, the rest is left alone.
    files = job_files()
    said = sweep("sampler.num_steps=2,0,3", "formulation=edm,edn")
    assert said.code == 1
    assert {name: t for name, t in job_files().items() if name in files} == files
    for before, after in zip(rows, sweep_rows()):
        again = "" if before["status"] == "completed" else ".2"
        assert after["folder"] == before["folder"] + again


def test_what_failed_for_a_reason_that_is_gone_is_completed_in_a_second_folder(sweep: Any) -> None:
    broken = mock.Mock(side_effect=RuntimeError("no more memory"))
    with mock.patch.object(sys.modules["fokker.experiment.samplings"], "draw_samples", broken):
        assert sweep("sampler.num_steps=2,3").code == 1
    assert column("error") == ["RuntimeError: no more memory"] * 2
    assert column("training") == ["trained", "found"]
    first = column("folder")
    assert sweep("sampler.num_steps=2,3").code == 0
    assert column("folder") == [f"{name}.2" for name in first]
    assert column("training") == ["found", "found"]
    assert column("error") == ["", ""]


@pytest.mark.long
def test_a_diverged_job_and_an_exit_are_failures_of_their_own(sweep: Any) -> None:
    said = sweep("optimizer.lr=1e30,0.001")
    assert said.code == 1
    assert column("status") == ["diverged", "completed"]
    assert (only_sweep() / sweep_rows()[0]["folder"] / "traceback.txt").is_file()
    left = mock.Mock(side_effect=SystemExit(7))
    with mock.patch.object(sys.modules["fokker.experiment.samplings"], "draw_samples", left):
        said = sweep("sampler.num_steps=2,3", "seed=5")
    assert said.code == 1
    assert "2 failed; 1 model trained" in said.out


@pytest.mark.long
def test_fail_fast_stops_at_the_first_failure(sweep: Any) -> None:
    said = sweep("sampler.num_steps=2,0,3", "fail_fast=true")
    assert said.code == 1
    assert column("status") == ["completed", "failed", "not run"]
    assert "stopped at the first failure, for fail_fast=true" in said.out
    assert "1 completed (0 of them before), 1 failed, 1 not run" in said.out
    # It is a key of the sweep, not of its jobs.
    assert "1 of them before" in sweep("sampler.num_steps=2,0,3").out
    assert column("status") == ["completed", "failed", "completed"]


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ([], ["a sweep needs a key with several values", "for one run leave -m out"]),
        (["data=gaussian"], ["a sweep needs a key with several values"]),
        (["data=choice()"], ["data=choice()", "what it sweeps over needs its values"]),
        (["seed=range(5,5)"], ["seed=range(5,5) gives no values to sweep over"]),
        (["data=glob(xyz*)"], ["data=glob(xyz*) gives no values to sweep over"]),
        (["optimizer.lr=interval(0,1)"], ["optimizer.lr=interval(0,1)", "list such as 1,2,3"]),
        (["objective=w1,nfe"], ["objective must have one value for the whole sweep"]),
        (["seed=1,2", "fail_fast=3"], ["fail_fast must be true or false, got 3"]),
        (["seed=1,2", "objective=3"], ["objective must be the name of a metric or null, got 3"]),
        (["seed=1,2", "nonsense=3"], ["nonsense is not a key; choose one of allow_targets"]),
        (["sampler.nonsense=1,2"], ["sampler.nonsense is not a key; choose one of alpha, num_st"]),
        (["seed=1,2", "data=unifrom"], ["data=unifrom is not an option; did you mean uniform?"]),
        (["formulation=dpm,edn"], ["formulation=dpm is not an option; did you mean ddpm?"]),
        (["seed=1,2", "objective=w2"], ["objective must be a metric", "got w2", ", w1", "sliced"]),
        (["data=uniform,ring8", "objective=w1"], ["got w1; choose one of ", "sliced_w2"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_sweep_that_cannot_be_is_refused(sweep: Any, typed: list[str], says: list[str]) -> None:
    said = sweep(*typed)
    assert said.code == 1
    assert not [line for line in said.out.splitlines() if not line.startswith("sweep ")]
    assert said.err.startswith("fokker: ")
    assert "Traceback" not in said.err
    for part in says:
        assert part in said.err
    assert list(Path().iterdir()) == []


# ---- the objective -------------------------------------------------------------------------


@pytest.mark.long
def test_the_table_is_sorted_by_the_objective_and_the_best_is_named(sweep: Any) -> None:
    said = sweep("sampler.num_steps=2,0,8,4", "objective=sliced_w2")
    assert column("num_steps") == ["2", "0", "8", "4"]
    values = {r["num_steps"]: float(r["sliced_w2"]) for r in sweep_rows() if r["sliced_w2"]}
    best = sorted(values, key=lambda steps: values[steps])
    table = [line.split() for line in said.out.splitlines() if line.startswith("  ")]
    assert [row[0] for row in table[1:]] == [*best, "0"]
    assert "sliced_w2" in table[0]
    answer = f"answer   On uniform, the setting with {best[0]} steps has the lowest sliced W2, "
    assert answer in said.out
    assert said.out.endswith("Not counted of 4 jobs: 1 failed.\n")
    # Known of finished jobs without building them.
    said = sweep("sampler.num_steps=2,8", "objective=w2")
    assert said.code == 1
    assert "got w2; choose one of " in said.err


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("data=ring8", "sampler=edm_stochastic", "evaluation.num_samples=20"),
        ("data.num_points=50",),
        ("data=gaussian", "network=exact", "sampler=ddim"),
        ("evaluation.budget_points=0", "evaluation=[likelihood,pde]", "data=mixture"),
        ("evaluation=likelihood", "data.num_points=50", "formulation=ddpm", "sampler=heun",
         "grid=geometric"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_metrics_of_a_run_are_known_before(overrides: tuple[str, ...]) -> None:
    small = ["evaluation.likelihood.num_points=4"] if "likelihood" in str(overrides) else []
    small += ["evaluation.pde.num_points=50"] if "pde" in str(overrides) else []
    typed = ["trainer.max_steps=2", "sampler.num_steps=4", *small, *overrides]
    promised = measures_of(compose_experiment(*typed))
    found = set(run(*typed).metrics)
    about = {n for n in found if n.endswith(("_standard_error", "_data", "_limit"))}
    assert set(promised) == found - about - {"num_steps"}


# ---- processes -----------------------------------------------------------------------------

RUN_MODULE = """
import fokker.sweeps.grid
fokker.sweeps.presentation.draw_results = lambda *_: []
experiment = sys.modules['fokker.experiment.run']
"""
AT_JOB = """
evaluate, calls = experiment.evaluate, []
def counted(*arguments):
    calls.append(1)
    {what}
    return evaluate(*arguments)
experiment.evaluate = counted
"""


@pytest.mark.long
def test_a_sweep_that_was_killed_goes_on_where_it_was(sweep: Any, workdir: Path) -> None:
    kill = "import os\n    if len(calls) == 2: os.kill(os.getpid(), 9)"
    before = f"{RUN_MODULE}\n{AT_JOB.format(what=kill)}"
    child = process(workdir, "trainer.max_steps=6", "-m", *SMALL, before=before)
    out, _ = child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert "[1/4]" in out
    assert "[2/4]" not in out
    assert not (only_sweep() / "results.csv").exists()
    done = {n: t for n, t in job_files().items() if read_status(n) == "completed"}
    said = sweep(*SMALL)
    assert said.code == 0
    assert "[1/4]" not in said.out
    assert "4 completed (1 of them before), 0 failed; 1 model trained" in said.out
    assert {n: t for n, t in job_files().items() if n in done} == done
    # The job that was killed was begun anew beside what is left of it.
    (again,) = [name for name in column("folder") if name.endswith(".2")]
    assert sweep_rows()[1]["folder"] == again
    broken = stable(sweep_rows())
    elsewhere = workdir / "unbroken"
    elsewhere.mkdir()
    os.chdir(elsewhere)
    sweep(*SMALL)
    assert stable(sweep_rows()) == broken


@pytest.mark.long
def test_a_damaged_job_is_said_and_run_again(sweep: Any) -> None:
    sweep(*SMALL)
    name = column("folder")[1]
    (record,) = Path("outputs/sweeps").glob(f"*/{name}/run.json")
    record.write_text("{")
    said = sweep(*SMALL)
    assert said.code == 0
    assert ": run.json is damaged: " in said.out
    assert f"; it is run again in {name}.2\n" in said.out
    assert column("folder")[1] == f"{name}.2"


def test_a_job_that_ends_before_its_record_leaves_nothing(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fokker.sweeps.running.run_job", mock.Mock(side_effect=Interrupted(15)))
    config, choices = mock.Mock(), mock.Mock(overrides=[])
    Path("sweep/job").mkdir(parents=True)
    with pytest.raises(SystemExit) as ended:
        run_in_sweep(config, choices, Path("sweep/job"))
    assert ended.value.code == 128 + 15
    assert not Path("sweep/job").exists()


def read_status(file: str) -> str:
    return str(read_json(Path(*Path(file).parts[:4]) / "run.json").get("status"))


@pytest.mark.long
def test_a_signal_in_a_training_ends_the_sweep_with_its_table(sweep: Any, workdir: Path) -> None:
    lines = [
        RUN_MODULE,
        "import os",
        "from fokker.training.callbacks import Curves",
        "written = Curves.on_train_batch_end",
        "def stop(self, trainer, module, outputs, batch, index):",
        "    written(self, trainer, module, outputs, batch, index)",
        "    if 'EDM' in type(module.formulation).__name__: os.kill(os.getpid(), 15)",
        "Curves.on_train_batch_end = stop",
    ]
    child = process(
        workdir, "trainer.max_steps=6", "callbacks.log_steps=2", "-m", *GRID,
        before="\n".join(lines),
    )  # fmt: skip
    out, err = child.communicate()
    assert child.returncode == 128 + signal.SIGTERM
    assert column("status") == ["completed"] * 3 + ["interrupted", "not run", "not run"]
    assert "3 completed (0 of them before), 0 failed, 1 interrupted, 2 not run" in out
    assert err == "fokker: stopped, saved at step 1 of 6; the same command goes on there\n"
    said = sweep("callbacks.log_steps=2", *GRID)
    assert said.code == 0
    assert column("training")[3:] == ["continued", "found", "found"]
    assert "6 completed (3 of them before), 0 failed; 1 model trained" in said.out


@pytest.mark.long
def test_two_sweeps_at_once_share_the_work(workdir: Path) -> None:
    what = (
        "import time; time.sleep(0.3)\n"
        "    with open('runs.txt', 'a') as f: f.write(f'{os.getpid()}\\n')"
    )
    wait = "import os, time\nprint('ready')\nwhile not os.path.exists('go'): time.sleep(0.01)"
    before = f"{RUN_MODULE}\n{AT_JOB.format(what=what)}\n{wait}"
    both = [process(workdir, "trainer.max_steps=6", "-m", *GRID, before=before) for _ in range(2)]
    for child in both:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    Path("go").touch()
    said = [child.communicate() for child in both]
    assert [child.returncode for child in both] == [0, 0]
    assert [err for _, err in said] == ["", ""]
    ran = Path("runs.txt").read_text().split()
    assert len(ran) == 6
    assert set(ran) == {str(child.pid) for child in both}
    assert column("status") == ["completed"] * 6
    assert sorted(column("training")).count("trained") == len(models()) == 2
    assert not [name for name in column("folder") if name.endswith(".2")]
    assert "(left to the process that runs it)" in said[0][0] + said[1][0]


@pytest.mark.long
def test_a_job_that_another_process_holds_is_left_to_it(sweep: Any) -> None:
    sweep("sampler.num_steps=2,3")
    (done,) = [job for job in jobs() if job["swept"] == {"num_steps": "3"}]
    (record,) = only_sweep().glob(f"3-{done['key']}/run.json")
    record.write_text(json.dumps({**read_json(record), "status": "running"}))
    with job_lock(record.parent):
        said = sweep("sampler.num_steps=2,3")
    assert said.code == 0
    assert column("status") == ["completed", "running"]
    assert column("w1")[1] == ""
    assert "num_steps=3: running (left to the process that runs it)" in said.out
    assert "1 completed (1 of them before), 0 failed, 1 running" in said.out
    # Without its process it was killed.
    assert sweep("sampler.num_steps=2,3").code == 0
    assert column("folder")[1] == f"3-{done['key']}.2"


def jobs() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_json(only_sweep() / "jobs.json")["jobs"]
    return found


# ---- names of folders ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "short"),
    [
        (["ddpm", "5"], "ddpm-5"),
        (["0.001", "true", "null"], "0.001-true-null"),
        (["{ddim:{eta:1.0}}", "[5,10]"], "ddim-eta-1.0-5-10"),
        (["outputs/runs/2026-11-22_23-33-58-177cd8/", "-1"], "2026-11-22_23-33-58-177cd8-1"),
        (["../..", "'a b'", "~/.x", "é"], "a-b-x"),
        (["x" * 100, "y" * 100, "z" * 100], f"{'x' * 30}-{'y' * 29}"),
        ([""], ""),
    ],
)
def test_values_are_short_and_safe_in_the_name_of_a_folder(values: list[str], short: str) -> None:
    assert short_values(values) == short


@pytest.mark.parametrize(
    ("name", "first", "key"),
    [
        ("ddpm-0.5-0123456789", "ddpm-0.5-0123456789", "0123456789"),
        ("ddpm-0.5-0123456789.2", "ddpm-0.5-0123456789", "0123456789"),
        ("0123456789.12", "0123456789", "0123456789"),
        ("t0007.3", "t0007", "t0007"),
    ],
)
def test_a_job_is_told_by_what_its_folders_name_ends_with(name: str, first: str, key: str) -> None:
    assert (job_name(Path("s", name)), job_id(Path("s", name))) == (first, key)
    assert Path(job_lock(Path("s", name)).lock_file).name == f".{key}.lock"


# ---- models that are swept -----------------------------------------------------------------


@pytest.mark.long
def test_jobs_inherit_each_from_its_own_model(sweep: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = run("trainer.max_steps=6", "formulation=ddpm", "seed=4").path
    two = run("trainer.max_steps=6", "seed=5", "sampler.num_steps=4").path
    monkeypatch.setenv("HOME", str(one.parents[2]))
    typed = [f"checkpoint='~/outputs/runs/{one.name}',last,nowhere", "sampler.num_steps=6"]
    small = ("-m", "evaluation.num_samples=100", "evaluation.budget_points=0")
    said = sweep(*typed, start=small)
    assert said.code == 1
    assert re.findall("^last .*", said.out, re.MULTILINE) == [f"last     outputs/runs/{two.name}"]
    assert "warning: checkpoint=nowhere will fail: checkpoint must lead to a model" in said.err
    assert column("status") == ["completed"] * 2 + ["failed"]
    assert column("checkpoint") == [str(one), f"outputs/runs/{two.name}", "nowhere"]
    assert column("num_steps")[:2] == ["6", "6"]
    assert [name[:5] for name in column("model")[:2]] == ["ddpm-", "edm-u"]
    assert column("training")[:2] == ["loaded"] * 2
    assert [name.rpartition("-")[0] for name in column("folder")] == [one.name, two.name, "nowhere"]
    records = [read_json(only_sweep() / name / "run.json") for name in column("folder")[:2]]
    assert ["seed=4" in record["overrides"] for record in records] == [True, False]
    assert "formulation=ddpm" in records[0]["overrides"]


@pytest.mark.long
def test_a_plan_of_a_sweep_trains_and_writes_nothing(sweep: Any) -> None:
    said = sweep("sampler.num_steps=2,0,3", "task=plan")
    assert said.code == 1
    assert said.out.count("new: would be trained for 6 steps") == 2
    assert "sampler.num_steps must be at least 1, got 0" in said.err
    assert list(Path().iterdir()) == []


@pytest.mark.long
def test_jobs_for_other_machines_are_checked_without_their_gpus(sweep: Any) -> None:
    """What is built beforehand, as for the names of its metrics, may run where there is one."""
    with mock.patch.object(torch.cuda, "is_available", return_value=False):
        said = sweep("trainer=gpu", "sampler.num_steps=2,0")
    assert said.err.splitlines()[0] == (
        "warning: num_steps=0 will fail: sampler.num_steps must be at least 1, got 0"
    )
    assert "needs a GPU" in sweep_rows()[0]["error"]
