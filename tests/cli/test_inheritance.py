"""Overrides that a trained model brings, wherever its path stands, and paths below `~`."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

import fokker
from fokker.config.compose import composed, meant_overrides
from fokker.config.inheritance import INHERITING, PATHS, JobMeanings, compose_meant
from fokker.config.option_words import as_typed, option_words
from fokker.search.space import read_search
from fokker.store.records import FORMAT

pytestmark = pytest.mark.usefixtures("workdir")
TRAINED = ["formulation=vp_sde", "seed=3", "sampler=ancestral", "sampler.variance=1"]


def model(path: str, overrides: Sequence[str] = TRAINED) -> Path:
    """What stands for a model that was trained with these overrides."""
    folder = Path(path)
    folder.mkdir(parents=True)
    (folder / "last.ckpt").touch()
    (folder / "model.json").write_text(json.dumps({"format": FORMAT, "overrides": list(overrides)}))
    return folder


def run(name: str, used: Path | None, at: int, status: str = "completed") -> Path:
    """The record of a run that was written at a time."""
    folder = Path("outputs/runs", name)
    folder.mkdir(parents=True)
    link = None if used is None else {"key": used.name, "path": str(used.resolve())}
    record = {"format": FORMAT, "status": status, "model": link}
    (folder / "run.json").write_text(json.dumps(record))
    os.utime(folder / "run.json", (at, at))
    return folder


def plain(overrides: Sequence[str]) -> DictConfig:
    """Stands for hydra's composition: the paths and single keys alone."""
    config: Any = OmegaConf.create(
        {"output_dir": "outputs", "hydra": {"runtime": {"config_sources": []}}}
    )
    for key in (*INHERITING, "init_from", "data.path"):
        OmegaConf.update(config, key, None)
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        OmegaConf.update(config, override.get_key_element(), override.value())
    return config


def meant(*typed: str) -> list[str]:
    return compose_meant(typed, plain)[0]


# ---- where the path stands -------------------------------------------------------------------


@pytest.mark.parametrize("key", INHERITING)
@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("a/m", "a/m"),
        ("'a/m'", "a/m"),
        ("a\\ b\\,c/m", "a b,c/m"),
        ('"it is/m"', "it is/m"),
        ("${oc.env:OF_A_TEST}/m", "of/m"),
        ("${output_dir}/m", "outputs/m"),
        ("~/a/m", "{home}/a/m"),
        ("'~/a/m'", "{home}/a/m"),
    ],
)
def test_a_model_is_found_however_its_path_is_typed(
    monkeypatch: pytest.MonkeyPatch, workdir: Path, key: str, typed: str, path: str
) -> None:
    monkeypatch.setenv("OF_A_TEST", "of")
    monkeypatch.setenv("HOME", str(workdir / "my home"))
    there = path.format(home=workdir / "my home")
    model(there)
    found, config, _ = compose_meant([f"{key}={typed}", "sampler=heun"], plain)
    assert config[key] == there
    # Another sampler does not take over the first one's keys.
    assert found[:2] == TRAINED[:2]
    assert "sampler=heun" in found
    assert len(found) == 4
    # What is recorded names the model, not what a variable says next time.
    assert plain(found)[key] == there
    assert "${" not in " ".join(found)


def test_what_the_command_says_wins_and_what_is_no_part_of_the_training_is_left() -> None:
    left = ["output_dir=b", "evaluation.weights=raw", "continue_from=c", "checkpoint=d"]
    place = model("m", [*TRAINED, *left, "objective=w1", "fail_fast=true"])
    found = meant(f"checkpoint={place}", "seed=5", "sampler.variance=2")
    assert found == [TRAINED[0], TRAINED[2], f"checkpoint={place}", "seed=5", "sampler.variance=2"]


@pytest.mark.parametrize("content", ['"a"', "[1]", "{}", '["-m"]'])
def test_a_record_that_holds_no_overrides_is_refused(content: str) -> None:
    place = model("m")
    (place / "model.json").write_text(f'{{"format": {FORMAT}, "overrides": {content}}}')
    with pytest.raises(ValueError, match=r"m/model\.json (does not|is damaged: )"):
        meant(f"checkpoint={place}")


def test_a_variable_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"^checkpoint needs the environment variable NOT_HERE"):
        meant("checkpoint=${oc.env:NOT_HERE}")


def test_the_users_home_is_written_out_in_every_path(
    monkeypatch: pytest.MonkeyPatch, workdir: Path
) -> None:
    monkeypatch.setenv("HOME", str(workdir))
    model("m", [])
    for key in PATHS:
        if key == "evaluation.beside":
            found, config, _ = compose_meant([f"{key}=[~/m,b,'~/m']"], plain)
            assert list(config.evaluation.beside) == [f"{workdir}/m", "b", f"{workdir}/m"]
        else:
            found, config, _ = compose_meant([f"{key}=~/m"], plain)
            assert OmegaConf.select(config, key) == f"{workdir}/m"
        assert len(found) == 1
    # Behind other characters it is none, and several values are swept.
    assert meant("init_from='a~b'", "data.path='./~/x'") == ["init_from='a~b'", "data.path='./~/x'"]
    assert meant("data.path=[~/m,~]")[0] == f"data.path=[{workdir}/m,{workdir}]"


# ---- the last run ----------------------------------------------------------------------------


def test_last_is_the_last_completed_run_with_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    m, n = model("m", ["seed=1"]), model("n", ["seed=2"])
    run("a", m, 300)
    run("b", n, 400)
    run("c", None, 500)
    run("d", m, 600, "running")
    run("e", m, 700, "failed")
    assert meant("checkpoint=last") == ["seed=2", "checkpoint=outputs/runs/b"]
    assert capsys.readouterr().out == "last     outputs/runs/b\n"
    assert meant("init_from=last") == ["init_from=outputs/runs/b"]
    model("last", ["seed=3"])
    assert meant("checkpoint=./last") == ["seed=3", "checkpoint=./last"]
    with pytest.raises(ValueError, match="checkpoint=last means the last completed run in x/runs"):
        meant("output_dir=x", "checkpoint=last")


# ---- sweeps and searches ---------------------------------------------------------------------


class Loader:
    """Composes jobs as `plain` does, and counts how often."""

    def __init__(self) -> None:
        self.count = 0

    def load_sweep_config(self, config: DictConfig, overrides: list[str]) -> DictConfig:
        self.count += 1
        return plain(overrides)


def test_each_model_is_looked_at_once_however_many_jobs_it_has() -> None:
    model("m", ["seed=1"])
    model("n", ["seed=2"])
    loader: Any = Loader()
    meanings = JobMeanings(plain([]), loader)
    for number in range(20):
        for place, seed in (("m", 1), ("n", 2)):
            varied = [f"checkpoint={place}", f"steps={number}"]
            assert meanings(["a=1", *varied], varied) == [f"seed={seed}", "a=1", *varied]
    assert loader.count == 2
    # What is not there is left to the job, and other keys are not looked at.
    assert meanings(["checkpoint=x"], ["checkpoint=x"]) == ["checkpoint=x"]
    assert meanings(["a=1", "b.c=~2"], ["a=1", "b.c=~2"]) == ["a=1", "b.c=~2"]
    assert loader.count == 3


def test_a_wrong_file_is_left_for_its_job_to_complain_of() -> None:
    folder = Path("mine/experiment")
    folder.mkdir(parents=True)
    (folder / "bad.yaml").write_text("# @package _global_\na:\n\tb: 1\n")
    config = plain([])
    config.hydra.runtime.config_sources = [{"path": "mine", "schema": "file"}]
    loader: Any = Loader()
    assert JobMeanings(config, loader)(["experiment=bad"], ["experiment=bad"]) == ["experiment=bad"]


def test_the_file_of_an_option_is_read_once_for_all_jobs() -> None:
    loader: Any = None
    meanings = JobMeanings(plain([]), loader)
    with mock.patch("fokker.config.inheritance.option_words", return_value=None) as files:
        for seed in range(50):
            typed = [f"seed={seed}", "data=ring8"]
            assert meanings(typed, typed) == typed
    assert [call.args[1:] for call in files.call_args_list].count(("data", "ring8")) == 1


def test_a_search_over_models_stays_what_it_is_when_there_is_a_newer_one() -> None:
    run("a", model("m", ["seed=1"]), 300)
    typed = ["checkpoint=last,n", "optimizer.lr=interval(1,2)"]
    loader: Any = Loader()
    config = plain([])
    config.hydra.sweep = {"dir": "outputs/sweeps"}
    # As if the loader were not asked for the options of groups.
    with mock.patch.object(OverridesParser, "create", return_value=OverridesParser.create()):
        first = read_search(typed, config, loader, [])
        values = {"checkpoint": "outputs/runs/a", "optimizer.lr": 1.5}
        assert first.parameters[0].choices == ("outputs/runs/a", "n")
        assert first.job(0, values).overrides == (
            "seed=1", "checkpoint=outputs/runs/a", "optimizer.lr=1.5",
        )  # fmt: skip
        run("b", model("o"), 400)
        assert read_search(["checkpoint=outputs/runs/a,n", typed[1]], config, loader, []) == first


# ---- files -----------------------------------------------------------------------------------


def test_an_experiments_file_may_name_the_model_and_its_words_win() -> None:
    place = model("m", ["experiment=theirs", *TRAINED, "sampler.num_steps=4", "data=ring8"])
    folder = Path("mine/experiment")
    folder.mkdir(parents=True)
    (folder / "my.yaml").write_text(
        "# @package _global_\ndefaults:\n  - more\n  - override /sampler: ddim\n"
        f"checkpoint: {place}\n"
    )
    (folder / "more.yaml").write_text("# @package _global_\nsampler: {num_steps: 7}\nseed: 9\n")
    (folder / "theirs.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /data: uniform\nnetwork: {width: 32}\n"
    )
    search = f"hydra.searchpath=['file://{Path('mine').resolve()}']"
    with composed(["experiment=my", "trainer.max_steps=5", search]) as config:
        found = meant_overrides(config)
        assert config.checkpoint == str(place)
        assert (config.seed, config.sampler.num_steps, config.network.width) == (9, 7, 32)
        assert config.hydra.runtime.choices.sampler == "ddim"
        assert config.hydra.runtime.choices.data == "ring8"
    # Hydra takes one experiment, so that the words of theirs stand in its place.
    assert found == [
        "++network.width=32", TRAINED[0], "data=ring8", "experiment=my", "trainer.max_steps=5",
    ]  # fmt: skip


def test_a_model_of_a_study_brings_its_settings_and_not_its_sweep() -> None:
    place = model("m", ["+sweeps=weightings", "weighting=x0", "trainer.max_steps=5"])
    with composed([f"checkpoint={place}"]) as config:
        assert config.hydra.mode is None
        assert config.objective is None
        chosen = config.hydra.runtime.choices
        assert (chosen.data, chosen.noise_levels, chosen.weighting, chosen.logger) == (
            "mixture", "log_uniform", "x0", "csv",
        )  # fmt: skip


def test_a_files_words_are_read_back_as_they_are() -> None:
    values = [None, True, 3, 1e-4, "null", "1e-4", "a b", "it's", [1, "x"], {"k": [None]}, "a/b.c"]
    parser = OverridesParser.create()
    for value in values:
        assert parser.parse_override(f"key={as_typed(value)}").value() == value
    assert option_words([], "experiment", "../x") is None


def test_the_python_api_takes_the_same() -> None:
    with pytest.raises(ValueError, match="checkpoint=last means the last completed run in outputs"):
        fokker.run(["checkpoint=last"])
    with pytest.raises(ValueError, match="no checkpoint at a b; give a run's folder"):
        fokker.run(["checkpoint=a\\ b"])
