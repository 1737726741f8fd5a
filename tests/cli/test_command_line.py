"""The command `fokker`: what it prints, what it writes, and which model it takes."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hydra.errors import HydraException

import fokker
from fokker.cli.flags import read_flags
from fokker.cli.main import main
from fokker.config.compose import composed, meant_overrides
from fokker.diffusion.grids import EDMRho
from fokker.diffusion.samplers import DDIM, Heun, ODEAdaptive
from fokker.machine.files import read_json, write_json
from tiny_runs import TINY, compose_experiment, only_model, run, train
from wandb_files import read_wandb

FOKKER = str(Path(sys.executable).with_name("fokker"))
RUN = "outputs/runs/the_run"

pytestmark = pytest.mark.usefixtures("workdir")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """The command in this process, without figures: what it prints, and that it says no more."""

    def call(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["fokker", *arguments])
        with mock.patch.object(sys.modules["fokker.experiment.run"], "draw_figures"):
            main()
        out, err = capfd.readouterr()
        assert err == ""
        return out

    return call


def files() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*"))


def rows(path: Path) -> list[dict[str, str]]:
    with (path / "evaluations.csv").open() as handle:
        return list(csv.DictReader(handle))


# ---- starting ------------------------------------------------------------------------------


def test_the_version() -> None:
    said = subprocess.run([FOKKER, "--version"], capture_output=True, text=True, check=True)
    assert (said.stdout, said.stderr) == (f"fokker {fokker.__version__}\n", "")


def test_hydras_help_is_shown_with_overrides_too() -> None:
    words = [FOKKER, "data=uniform", "--hydra-help"]
    said = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "--cfg" in said.stdout
    assert said.stderr == ""


def test_help_does_not_wait_for_torch() -> None:
    def seconds(*command: str) -> float:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_utime + usage.ru_stime

    # In one run, since machines differ: what waits for both takes twice as long.
    heavy = (sys.executable, "-c", "import lightning")
    assert any(seconds(FOKKER, "--help") < 0.4 * seconds(*heavy) for _ in range(3))
    lines = [
        "import sys",
        "from fokker.cli.main import main",
        "sys.argv = ['fokker', '--help']",
        "try:",
        "    main()",
        "finally:",
        "    heavy = {'torch', 'lightning', 'numpy', 'matplotlib', 'wandb'} & set(sys.modules)",
        "    print(sorted(heavy), file=sys.stderr)",
    ]
    said = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    )
    assert said.stderr == "[]\n"
    assert "Groups and options:" in said.stdout


# ---- a plan --------------------------------------------------------------------------------


def test_a_plan_says_what_would_be_done_and_does_nothing(command: Any) -> None:
    said = command(
        *TINY, "task=plan", "data.batch_size=128", "sampler.num_steps=7",
        "evaluation.samplers=[{ddim: {eta: 0.5}},ode_adaptive]",
    )  # fmt: skip
    assert files() == []
    made = compose_experiment("data.batch_size=128")
    parameters = sum(p.numel() for p in made.model.parameters())
    for part in (
        str(made.task.folder.path), "20 steps of 128 samples", f"{parameters:,} parameters",
        "shape (1,)",
        "100 by heun, 7 steps, sigma 80 to 0.002, grid edm_rho", "100 steps", "eta", "ode_adaptive",
    ):  # fmt: skip
        assert part in said
    assert re.search("new|would be trained", said)
    assert "found" not in said


def test_a_plan_knows_a_finished_and_an_unfinished_model(command: Any) -> None:
    run("trainer.max_steps=6")
    before = files()
    said = command(*TINY, "trainer.max_steps=6", "task=plan")
    assert "found" in said
    assert "6 steps" in said
    # Of an interrupted training there is a checkpoint and a record that it is not the last one.
    folder = only_model()
    write_json(folder.path / "model.json", {**folder.record, "status": "interrupted", "step": 4})
    said = command(*TINY, "trainer.max_steps=6", "task=plan")
    assert "found" not in said
    assert re.search(r"step 4 of 6\b", said)
    said = command(*TINY, "trainer.max_steps=6", "task=plan", "seed=1")
    assert "found" not in said
    assert files() == before


@pytest.mark.long
def test_a_plan_leaves_a_folder_of_the_users_alone(command: Any) -> None:
    Path("mine/here").mkdir(parents=True)
    for place in ("mine/here/run", "outputs/deep/down/run"):
        command(*TINY, "task=plan", f"hydra.run.dir={place}")
        assert Path("mine/here").is_dir()
    here = Path.cwd()
    Path("mine/here").rmdir()
    Path("mine").rmdir()
    # Nothing at all stands here now, and still the folder is not fokker's to take away.
    for place in (".", "run"):
        command(*TINY, "task=plan", f"hydra.run.dir={place}")
        assert here.is_dir()
        assert files() == []


# ---- a run ---------------------------------------------------------------------------------


def test_a_run_prints_its_metrics_and_paths_and_nothing_else() -> None:
    # The real command, with figures, in a process of its own.
    said = subprocess.run([FOKKER, *TINY], capture_output=True, text=True, check=True)
    assert said.stderr == ""
    before, after = said.stdout.split("error budget of heun, 18 steps, 100 quantiles", 1)
    budget, after = after.split("\nrecord ", 1)
    terms = [line.strip() for line in budget.splitlines()[2:]]
    assert [term.split()[0] for term in terms[:5]] == [
        "truncation", "prior", "discretisation", "learning", "measured",
    ]  # fmt: skip
    kinds: dict[str, list[str]] = {}
    for line in [*before.splitlines(), *f"record {after}".splitlines()]:
        kind, value = line.split(maxsplit=1)
        kinds.setdefault(kind, []).append(value)
    (record,) = kinds.pop("record")
    figures = kinds.pop("figure")
    assert {Path(figure).stem for figure in figures} >= {"samples", "loss_per_level", "trajectory"}
    for path in (record, *figures):
        assert Path(path).exists()
        assert Path(path).is_relative_to(record)
    (model,) = kinds.pop("model")
    assert model == f"trained: {only_model().path}"
    (training,), (sampling,) = kinds.pop("training"), kinds.pop("sampling")
    assert training.startswith(f"{only_model().path.name}: ")
    assert sampling == "100 by heun, N = 18, edm_rho, on cpu, 1 thread"
    metrics = read_json(Path(record) / "metrics.json")
    assert {"w1", "sliced_w2", "energy_distance", "nfe", "denoising_error"} <= kinds.keys()
    for name, (value,) in kinds.items():
        number, _, error = value.partition(" +- ")
        assert float(number) == pytest.approx(metrics[name], rel=1e-3)
        assert bool(error) == (f"{name}_standard_error" in metrics)


def test_a_run_goes_into_the_folder_that_is_given(command: Any) -> None:
    said = command(*TINY, "hydra.run.dir=here/the_run", "output_dir=there")
    assert "here/the_run" in said
    assert read_json(Path("here/the_run/run.json"))["status"] == "completed"
    assert only_model("there").is_complete
    assert {path.name for path in Path().iterdir()} == {"here", "there"}
    # A finished run is never written again.
    with pytest.raises(SystemExit):
        command(*TINY, "hydra.run.dir=here/the_run", "output_dir=there")
    with pytest.raises(ValueError, match=r"the_run already holds a finished run"):
        run("hydra.run.dir=here/the_run", "output_dir=there")


def test_several_samplers_and_numbers_of_steps_are_evaluated_on_one_model(command: Any) -> None:
    said = command(
        *TINY, f"hydra.run.dir={RUN}", "sampler.num_steps=3", "evaluation.num_steps=[5,10]",
        "evaluation.samplers=[heun,{ddim: {eta: 0.5}},ode_adaptive]",
    )  # fmt: skip
    found = rows(Path(RUN))
    assert [row["sampler"].split("(")[0] for row in found] == [
        "heun", "heun", "heun", "ddim", "ddim", "ode_adaptive",
    ]  # fmt: skip
    assert [row["num_steps"] for row in found] == ["3", "5", "10", "5", "10", ""]
    assert [float(row["nfe"]) for row in found[:-1]] == [5, 9, 19, 5, 10]
    for row in found:
        assert float(row["w1"]) > 0
        assert f"{float(row['w1']):.4g}" in said
    assert read_json(Path(RUN) / "metrics.json")["num_steps"] == 3
    assert only_model().is_complete


def test_no_sampling_is_done_twice_and_each_is_what_was_asked_for() -> None:
    made = compose_experiment(
        "sampler.num_steps=5", "sampler.alpha=0.5", "evaluation.num_steps=[5,10]",
        "evaluation.samplers=[heun,{ddim: {eta: 0.5}},{heun: {alpha: 0.5}},ode_adaptive]",
    )  # fmt: skip
    kinds = [(type(s.sampler), s.num_steps) for s in made.plan.ways]
    assert kinds == [(Heun, 5), (Heun, 10), (DDIM, 5), (DDIM, 10), (ODEAdaptive, None)]
    assert [s.sampler.eta for s in made.plan.ways if isinstance(s.sampler, DDIM)] == [0.5, 0.5]
    assert [s.sampler.alpha for s in made.plan.ways if isinstance(s.sampler, Heun)] == [0.5, 0.5]
    for way in made.plan.ways[:4]:
        assert way.num_steps is not None
        nodes = EDMRho()(way.num_steps, way.sampler.sde)
        torch.testing.assert_close(way.nodes, nodes)


def test_a_sweep_trains_once(command: Any) -> None:
    said = command("-m", *TINY, "sampler.num_steps=2,3")
    assert re.findall(r"\((\w+) model ", said) == ["trained", "found"]
    (results,) = re.findall(r"^results +(.+)$", said, re.MULTILINE)
    with Path(results).open() as handle:
        paths = [Path(results).parent / row["folder"] for row in csv.DictReader(handle)]
    assert [read_json(path / "metrics.json")["num_steps"] for path in paths] == [2, 3]
    assert only_model().is_complete
    assert [path.name for path in Path().iterdir()] == ["outputs"]


def test_overrides_may_stand_behind_a_flag_and_before_it(command: Any) -> None:
    said = command(*TINY, "--cfg", "job", "--package", "sampler", "sampler=ddim", "sampler.eta=0.5")
    assert "fokker.diffusion.samplers.DDIM" in said
    assert "eta: 0.5" in said
    assert files() == []


def test_wandb_without_an_account_writes_files_and_asks_nothing(
    monkeypatch: pytest.MonkeyPatch, workdir: Path
) -> None:
    for name in [key for key in os.environ if key.startswith("WANDB_")]:
        if name not in ("WANDB_SILENT", "WANDB_ERROR_REPORTING"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(workdir / "none"))
    monkeypatch.setenv("HOME", str(workdir))
    asked = mock.Mock(side_effect=AssertionError("a question to the user"))
    monkeypatch.setattr("builtins.input", asked)
    monkeypatch.setattr("getpass.getpass", asked)
    result = run("logger=wandb", "sampler.num_steps=3")
    assert read_wandb(result.path).exit_code == 0
    asked.assert_not_called()


# ---- a checkpoint --------------------------------------------------------------------------


def inherited(typed: list[str]) -> list[str]:
    """The overrides that are meant by these."""
    with composed(typed) as config:
        return meant_overrides(config)


def test_a_checkpoint_brings_the_overrides_that_it_was_trained_with(command: Any) -> None:
    first = run("formulation=vp_sde", "sampler.num_steps=6", "seed=3", "data.low=-2")
    again = run(
        "formulation=vp_sde", "sampler.num_steps=6", "seed=3", "data.low=-2", "sampler=ddim"
    )
    assert again.path != first.path
    typed = ("evaluation.num_samples=100", f"hydra.run.dir={RUN}")
    for place in (first.path, only_model().path, only_model().checkpoint):
        with mock.patch.object(sys.modules["fokker.experiment.run"], "draw_figures"):
            result = fokker.run(
                [f"checkpoint={place}", "sampler=ddim", "sampler.num_steps=6", typed[0]]
            )
        assert torch.equal(result.samples, again.samples)
        assert result.metrics == again.metrics
    said = command(f"checkpoint={first.path}", "sampler=ddim", "sampler.num_steps=6", *typed)
    assert "model    loaded: " in said
    np.testing.assert_array_equal(np.load(f"{RUN}/samples.npz")["samples"], again.samples)
    assert only_model().is_complete  # and there is no other


def test_variables_stay_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rank and each job has its own."""
    monkeypatch.setenv("OF_A_TEST", "3")
    typed = ["seed='${oc.decode:${oc.env:OF_A_TEST}}'", "trainer.max_steps=2"]
    assert inherited(typed) == typed
    assert "seed: 3\n" in (run(*typed).path / "config.yaml").read_text()


def test_a_new_sampler_does_not_take_over_another_samplers_keys() -> None:
    result = run("sampler=ancestral", "sampler.variance=1", "sampler.num_steps=4")
    typed = [f"checkpoint={result.path}", "sampler=heun"]
    full = inherited(typed)
    assert full[-2:] == typed
    assert not [override for override in full[:-2] if override.startswith("sampler")]
    assert set(TINY) - {"evaluation.num_samples=100"} <= set(full)
    # Who changes one key of the same sampler keeps the others.
    full = inherited([f"checkpoint={result.path}", "sampler.num_steps=2"])
    assert {"sampler=ancestral", "sampler.variance=1", "sampler.num_steps=2"} <= set(full)
    assert "sampler.num_steps=4" not in full


def test_a_folder_from_elsewhere_chooses_no_packages_flags_or_places() -> None:
    folder = train()[1]
    record = folder.record
    kept = ["data=uniform", "+sde@sampler.sde=edm", "~callbacks.save_seconds"]
    dropped = [
        "allow_targets=[os]", "+hydra.callbacks.x._target_=os.system", "hydra/launcher=basic",
        "hydra.run.dir=elsewhere", "output_dir=elsewhere", "task=plan", "logger=wandb",
        "evaluation.num_samples=5", "retrain=true", "checkpoint=other", "++allow_targets=[os]",
    ]  # fmt: skip
    write_json(folder.path / "model.json", {**record, "overrides": [*kept, *dropped]})
    assert inherited([f"checkpoint={folder.path}"]) == [*kept, f"checkpoint={folder.path}"]
    for flag in ("--config-dir=elsewhere", "-m", " hydra.run.dir=elsewhere"):
        write_json(folder.path / "model.json", {**record, "overrides": [*kept, flag]})
        with pytest.raises(ValueError, match=r"model\.json does not hold overrides"):
            inherited([f"checkpoint={folder.path}"])


def test_a_checkpoint_of_another_configuration_is_refused_by_the_key_that_differs() -> None:
    result = run()
    before = files()
    for typed, says in (
        (["network.width=32"], "network.width (16 there, 32 here)"),
        (["seed=1"], "seed (0 there, 1 here)"),
        (["data=gaussian"], ": data (uniform there, gaussian here); remove"),
        (["weighting=x0"], "weighting._target_"),
    ):
        with pytest.raises(ValueError, match="was trained with another configuration") as error:
            fokker.run([f"checkpoint={result.path}", *typed])
        assert says in str(error.value)
        assert "remove these overrides, or train a model of its own" in str(error.value)
    assert files() == before
    # What is no part of the training may differ.
    with mock.patch.object(sys.modules["fokker.experiment.run"], "draw_figures"):
        fokker.run([f"checkpoint={result.path}", "grid=geometric", "evaluation.num_samples=10"])


def test_a_training_can_start_from_other_weights() -> None:
    source, folder = train("optimizer.lr=0.01")
    weights = {name: w.clone() for name, w in source.formulation.network.named_parameters()}
    alone = compose_experiment("seed=1")
    made = compose_experiment("seed=1", f"init_from={folder.path}")
    assert made.task.folder.path != alone.task.folder.path
    assert made.task.folder.path != folder.path
    for name, weight in made.model.denoiser.named_parameters():
        assert torch.equal(weight, weights[name])
        assert torch.equal(made.task.training.weights("ema")[name], weights[name])
    # The key is of the weights, not of where they lie.
    by_file = compose_experiment("seed=1", f"init_from={folder.checkpoint}")
    assert by_file.task.folder.path == made.task.folder.path
    slow, _ = train("seed=1", f"init_from={folder.path}", "optimizer.lr=1e-9")
    for name, weight in slow.formulation.network.named_parameters():
        torch.testing.assert_close(weight, weights[name], rtol=0, atol=1e-6)
    other = train("optimizer.lr=0.02")[1]
    folder = compose_experiment("seed=1", f"init_from={other.path}").task.folder
    assert folder.path != made.task.folder.path


@pytest.mark.long
def test_a_checkpoint_whose_file_of_points_has_changed_since() -> None:
    rng = np.random.default_rng(0)
    np.save("points.npy", rng.normal(size=(40, 2)))
    result = fokker.run([*TINY, "data=points", "data.path=points.npy"])
    again = [f"checkpoint={result.path}", "evaluation.num_samples=100"]
    assert fokker.run(again).metrics["sliced_w2"] == result.metrics["sliced_w2"]
    np.save("points.npy", rng.normal(size=(40, 2)))
    with pytest.raises(ValueError, match=r"trained on other points than data\.path=points\.npy"):
        fokker.run(again)


def test_an_array_is_the_same_data_in_any_file() -> None:
    points = np.random.default_rng(0).normal(size=(40, 2))
    np.save("points.npy", points)
    np.savez("points.npz", mine=points, other=points[:5])
    by_file = compose_experiment("data=points", "data.path=points.npy")
    by_key = compose_experiment("data=points", "data.path=points.npz", "data.key=mine")
    assert by_key.task.folder.path == by_file.task.folder.path
    other = compose_experiment("data=points", "data.path=points.npz", "data.key=other")
    assert other.task.folder.path != by_file.task.folder.path


IMPORT_STOPS = """
import builtins
real = builtins.__import__
def stopped(name, *arguments, **others):
    if name == "hydra":
        raise KeyboardInterrupt
    return real(name, *arguments, **others)
builtins.__import__ = stopped
from fokker.__main__ import main
main()
"""


def test_ctrl_c_has_a_sentence_from_the_first_import_on(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", IMPORT_STOPS]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    said = "fokker: stopped before anything was begun\n"
    assert (ended.returncode, ended.stderr) == (130, said)
    # A library may make an error of its own of it.
    error = HydraException()
    error.__context__ = KeyboardInterrupt()
    monkeypatch.setattr("fokker.config.compose._load", mock.Mock(side_effect=error))
    with pytest.raises(KeyboardInterrupt):
        fokker.run([])


def test_more_workers_than_cores_are_warned_of_once() -> None:
    with pytest.warns(UserWarning, match="workers=999 is more than the") as warned:
        compose_experiment("data.workers=999")
    assert len(warned) == 1


def test_a_job_keeps_the_memory_of_a_step_for_the_next_one() -> None:
    with mock.patch("fokker.launch.job.keep_freed_memory") as keep:
        run()
    keep.assert_called_once_with()


@pytest.mark.long
def test_samples_that_are_far_off_are_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["evaluation.num_steps=[3]", "evaluation.samplers=[heun,ddim]"]
    run("network=exact", "evaluation.num_steps=[10]", few[1])
    assert "far off" not in capsys.readouterr().out
    # So few steps of an exact flow end too near the mean.
    run("network=exact", *few)
    assert "grid edm_rho: samples lie 0.194 times as far from the" in capsys.readouterr().out
    run("optimizer.lr=10", *few)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("far off")]
    assert len(said) == 3
    assert said[2].startswith("far off  ddim in 3 evaluations on grid edm_rho: samples lie ")
    assert said[2].endswith("another grid or sampler, or fix the training or train longer")


def test_a_run_of_python_gives_what_the_record_holds() -> None:
    result = run("sampler.num_steps=3")
    assert json.loads((result.path / "metrics.json").read_text()) == result.metrics
    np.testing.assert_array_equal(np.load(result.path / "samples.npz")["samples"], result.samples)
    loaded = fokker.load(result.path)
    x, sigma = torch.linspace(-1, 1, 5)[:, None], torch.tensor(0.3)
    with torch.no_grad():
        assert torch.equal(loaded.denoiser(x, sigma), result.model.denoiser(x, sigma))
    with pytest.raises(ValueError, match="task must be run to give a result, got plan"):
        run("task=plan")


def test_a_folder_of_options_must_be_there_and_its_options_are_known(command: Any) -> None:
    for typed in (["--config-dir", "nope"], ["--config-dir"]):
        with pytest.raises(SystemExit):
            command(*typed)
        assert files() == []
    options = Path("my/experiment")
    options.mkdir(parents=True)
    (options / "mine.yaml").write_text("# @package _global_\nseed: 3\n")
    given = read_flags(["--config-dir", "my", "experiment=mien"])
    typed = [*given.overrides, *given.search]
    with pytest.raises(ValueError, match=r"experiment=mien is not an option; did you mean mine\?"):
        inherited(typed)


@pytest.mark.parametrize("overrides", [None, "data=uniform", {"data": "uniform"}, ["seed=1", 3]])
def test_overrides_are_a_list_of_texts(overrides: Any) -> None:
    with pytest.raises(ValueError, match="overrides must be a list of texts, such as"):
        fokker.run(overrides)
