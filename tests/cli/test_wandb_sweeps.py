"""Sweeps in W&B: fokker's own, whose jobs are a group, and W&B's, whose agents call fokker."""

import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import wandb
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf
from wandb import wandb_agent
from wandb.sdk.launch.sweeps.utils import load_sweep_config
from wandb.sdk.lib.config_util import save_config_file_from_dict

from fokker.cli.main import main
from fokker.config.compose import composed, config_dir
from fokker.figures import save
from fokker.machine.files import read_json
from fokker.tracking.wandb_sweep import log_sweep
from tiny_runs import TINY
from wandb_files import WandBFile, read_wandb

pytestmark = pytest.mark.usefixtures("workdir", "no_figures")
FILES = sorted((config_dir() / "sweeps" / "wandb").glob("*.yaml"))


@pytest.fixture
def no_figures() -> Iterator[None]:
    with (
        mock.patch.object(sys.modules["fokker.experiment.run"], "draw_figures"),
        mock.patch("fokker.sweeps.presentation.draw_results", return_value=[]),
    ):
        yield


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["fokker", *arguments])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def results() -> list[dict[str, str]]:
    (path,) = Path("outputs/sweeps").glob("*/results.csv")
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    return [{**row, "path": str(path.with_name(row["folder"]))} for row in rows]


# ---- fokker's own --------------------------------------------------------------------------


@pytest.mark.long
def test_the_jobs_of_a_sweep_are_a_group_and_a_second_attempt_is_the_same_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed = ("-m", *TINY, "logger=wandb", "optimizer.lr=0.001,1e30", "sampler.num_steps=2")
    module = sys.modules["fokker.experiment.samplings"]
    broken = mock.patch.object(module, "draw_samples", side_effect=RuntimeError("no memory"))
    with broken:
        assert command(monkeypatch, *typed) == 1
    group = Path(results()[0]["path"]).parent.name
    first = [read_wandb(Path(row["path"])) for row in results()]
    for file, row, status in zip(first, results(), ("failed", "diverged"), strict=True):
        assert row["status"] == status
        assert file.run["run_group"] == group
        assert file.run["job_type"] == "run"
        assert file.run["display_name"] == f"edm-uniform lr={row['lr']}"
        assert file.run["tags"] == ["edm", "uniform", f"lr={row['lr']}"]
        assert file.config["fokker"]["swept"] == {"lr": row["lr"]}
        assert file.config["optimizer"]["lr"] == float(row["lr"])
        assert file.exit_code == 1
        assert file.summary["status"] == status
        assert file.summary["error"] == row["error"]
        record = read_json(Path(row["path"], "run.json"))
        assert (record["sweep"], record["swept"]) == (group, {"lr": row["lr"]})
    assert first[0].summary["error"] == "RuntimeError: no memory"
    assert [r["_step"] for r in first[0].history if "loss" in r] == [5, 10, 15, 20]

    assert command(monkeypatch, *typed) == 1
    row = results()[0]
    assert row["folder"].endswith(".2")
    second = read_wandb(Path(row["path"]))
    assert second.run["run_id"] == first[0].run["run_id"] != first[1].run["run_id"]
    assert second.exit_code == 0
    assert [r["_step"] for r in second.history if "loss" in r] == [5, 10, 15, 20]
    (evaluation,) = second.rows("evaluation/w1")
    assert evaluation["evaluation/w1"] == float(row["w1"]) == second.summary["w1"]
    assert second.summary["training"] == "found"


def whole(folder: Path, logger: DictConfig, report: Path | None = None) -> str:
    rows: list[dict[str, Any]] = [{"lr": "0.1", "status": "completed", "w1": 0.5}]
    rows.append({"lr": "0.2", "status": "failed"})
    tables = {"mean over seeds": [{"w1": 0.25, "n": 2}]}
    figures = [save(Figure((1, 1)), folder / "figures" / name) for name in ("one", "two")]
    return log_sweep(folder, logger, rows, tables, figures, report)


@pytest.mark.long
def test_a_sweep_as_a_whole_is_a_run_of_its_group() -> None:
    folder = Path("sweeps/steps-12345678")
    folder.mkdir(parents=True)
    report = Path("report.html")
    report.write_text("<h1>The answer</h1>")
    with composed(["logger=wandb", "logger.wandb.tags=[mine]"]) as config:
        node = config.logger
        address = whole(folder, node, report)
        file = read_wandb(folder)
        assert address == f"wandb sync {file.folder.relative_to(Path.cwd())}"
        assert file.run["run_group"] == file.run["display_name"] == folder.name
        assert file.run["job_type"] == "sweep"
        assert file.run["tags"] == ["mine"]
        assert file.table("results") == [
            {"lr": "0.1", "status": "completed", "w1": 0.5},
            {"lr": "0.2", "status": "failed", "w1": None},
        ]
        assert file.table("mean over seeds") == [{"w1": 0.25, "n": 2}]
        assert file.media("figures/two") == (folder / "figures/two.png").read_bytes()
        assert b"The answer" in file.media("report")
        assert (file.summary["jobs"], file.summary["completed"]) == (2, 1)
        assert file.exit_code == 0
        assert whole(folder, node)
        assert read_wandb(folder, index=1).run["run_id"] == file.run["run_id"]


def test_without_wandb_a_sweep_is_not_sent_and_its_faults_are_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    folder = Path("sweep")
    folder.mkdir()
    with composed([]) as config:
        assert whole(folder, config.logger) == ""
    assert capfd.readouterr().err == ""
    with composed(["logger=wandb"]) as config:
        assert whole(folder, config.logger) == ""
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("warning: W&B is off")
    wrong = OmegaConf.create({"x": {"_target_": "fokker.tracking.WandB", "finish_seconds": 0}})
    assert whole(folder, wrong) == ""
    (line,) = capfd.readouterr().err.splitlines()
    assert "the sweep is not in W&B: finish_seconds must be positive" in line


# ---- W&B's ---------------------------------------------------------------------------------


@pytest.fixture
def fresh_wandb() -> Iterator[None]:
    """W&B reads the environment once in a process."""
    wandb.teardown()
    yield
    wandb.teardown()


def first_values(parameters: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What an agent is told: of each parameter one value that it can have."""
    return {
        name: {"value": given["values"][0] if "values" in given else given["min"]}
        for name, given in parameters.items()
    }


def as_agent(content: dict[str, Any]) -> list[str]:
    """The command that W&B's own agent makes, and the environment that it sets for it."""
    agent: Any = wandb_agent.Agent(None, None)
    agent._sweep_command = content["command"]
    told = {"program": content["program"], "args": first_values(content["parameters"])}
    with mock.patch.object(wandb_agent, "AgentProcess") as process:
        agent._command_run({"type": "run", "run_id": "abc123", **told})
    given: list[str] = process.call_args.kwargs["command"]
    os.environ.update(process.call_args.kwargs["env"])
    return given


@pytest.mark.long
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_agent_of_wandbs_can_run_each_of_its_sweeps(
    path: Path, monkeypatch: pytest.MonkeyPatch, fresh_wandb: None
) -> None:
    for variable in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_DIR"):
        monkeypatch.setenv(variable, "")  # and take away at the end what the agent sets
    monkeypatch.delenv("WANDB_DIR")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    content = load_sweep_config(str(path))
    assert content is not None
    given = as_agent(content)
    assert given[:2] == ["/usr/bin/env", "fokker"]
    assert "logger=wandb" in given
    values = {name: told["value"] for name, told in first_values(content["parameters"]).items()}
    assert given[-len(values) :] == [f"{name}={value}" for name, value in values.items()]
    small = [o for o in TINY if not o.startswith(("data", "network.width"))]
    code = command(monkeypatch, *given[2:], *small, "callbacks.validation_steps=5")
    assert code == 0
    (run,) = Path("outputs/runs").iterdir()
    file = read_wandb(run)
    assert file.run["run_id"] == "abc123" == read_json(run / "wandb.json")["id"]
    check_values(file, values)
    metric = content["metric"]["name"]
    assert file.summary[metric] == read_json(run / "metrics.json")[metric]
    ended = content.get("early_terminate")
    if ended is not None:
        assert len([row for row in file.history if metric in row]) == 20 / 5
        with composed(given[2:]) as config:
            rounds = config.trainer.max_steps // config.callbacks.validation_steps
        assert rounds > 2 * ended["min_iter"]


def check_values(file: WandBFile, values: dict[str, Any]) -> None:
    """That a run has the values of W&B's sweep, as parameters and in fokker's own configuration."""
    for name, value in values.items():
        assert file.config[name] == value
        node: Any = file.config
        if "." in name:
            for part in name.split("."):
                node = node[part]
            assert node == value
        else:
            assert file.config["fokker"][name] == value


def test_there_are_sweep_files_for_wandb() -> None:
    assert {path.stem for path in FILES} >= {"step_count", "search"}


@pytest.mark.parametrize("key", ["allow_targets", "+allow_targets", "++allow_targets"])
def test_a_sweep_chooses_no_packages(
    key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its values come from a server; what its owner writes into its command is seen in the file."""
    Path("own.py").write_text("import os\nos.mkdir('imported')\nclass Net: pass\n")
    parameters = Path("parameters.yaml").resolve()
    given = {"network.width": 8, key: "[own]"}
    save_config_file_from_dict(str(parameters), {k: {"value": v} for k, v in given.items()})
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(parameters))
    typed = ["network._target_=own.Net", *(f"{k}={v}" for k, v in given.items())]
    assert command(monkeypatch, *TINY, *typed) == 1
    error = capsys.readouterr().err
    assert "fokker: allow_targets must not be a parameter of a W&B sweep" in error
    assert {p.name for p in Path().iterdir()} == {"own.py", "parameters.yaml"}
