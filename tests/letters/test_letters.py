"""A formulation of another kind goes through the whole command, with no file of the platform
knowing it: labels, two data sets, samples in groups, and a stage that is made from another."""

import csv
import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fokker
from fokker.cli.main import main
from fokker.formulation import Drawn, Way
from fokker.machine.files import read_json
from wandb_files import read_wandb

HERE = Path(__file__).parent
OWN = (
    "formulation=letters", "data=letters", "network=table", "allow_targets=[own_letters]",
    "trainer.max_steps=40", "optimizer.lr=0.05", "evaluation.num_samples=320",
)  # fmt: skip
Command = Callable[..., str]


@pytest.fixture
def fokker_says(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command in a folder with the letters' module; what it prints."""
    shutil.copy(HERE / "own_letters.py", workdir)
    monkeypatch.syspath_prepend(str(workdir))

    def run(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["fokker", *words])
        main()
        return capsys.readouterr().out

    return run


def train(says: Command, *words: str) -> tuple[str, Path]:
    """What a run says, and its folder."""
    said = says("--config-dir", str(HERE / "conf"), *OWN, *words)
    return said, max(Path("outputs/runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)


def test_letters_are_trained_found_sampled_and_compared(fokker_says: Command) -> None:
    said, first = train(fokker_says, "logger=wandb")
    assert "model    trained: outputs/models/letters-letters-" in said
    record, metrics = read_json(first / "run.json"), read_json(first / "metrics.json")
    assert record["data_groups"] == ["data", "source"]
    assert {"tv", "nelbo", "bits"} <= metrics.keys()
    assert not {"w1", "sliced_w2", "energy_distance"} & metrics.keys()  # Letters have no distance.
    samples = np.load(first / "samples.npz")["samples"]
    assert samples.dtype == np.int64
    assert set(samples.flatten()) == {0, 1, 2}
    rows = list(csv.DictReader((first / "loss_per_level.csv").open()))
    assert list(rows[0]) == ["level", "loss", "floor", "excess", "trained"]
    assert float(rows[-1]["loss"]) == pytest.approx(metrics["nelbo"])
    figures = {path.stem for path in (first / "figures").glob("*.png")}
    assert {"loss_per_level", "samples", "trajectory", "training_curve"} <= figures
    assert (first / "letters.csv").is_file()
    mirrored = read_wandb(first)
    assert len(mirrored.table("loss_per_level")) == 3
    # Found again, along another way; another letter of the second data set is another model.
    said, second = train(fokker_says, "sampler.num_steps=2", f"evaluation.beside=[{first}]")
    assert "model    found" in said
    assert read_json(second / "metrics.json")["nfe"] == 2
    assert "model    trained" in train(fokker_says, "source.shift=2")[0]
    with pytest.raises(SystemExit):
        train(fokker_says, "source.shift=2", f"evaluation.beside=[{first}]")
    said = fokker_says("task=compare", str(first), str(second), "allow_targets=[own_letters]")
    assert "loss: equal at every level" in said
    assert "tv " in said


@pytest.mark.long
def test_a_second_stage_is_made_from_the_first(fokker_says: Command) -> None:
    said, _ = train(fokker_says, "formulation.stage=2")
    first, second = sorted(Path("outputs/models").glob("letters*"), key=lambda p: p.stat().st_ctime)
    assert f"earlier  trained: {first}" in said
    assert f"model    trained: {second}" in said
    assert read_json(second / "model.json")["made_of"]["earlier"] == first.name
    assert "model    found" in train(fokker_says, "formulation.stage=2")[0]
    assert f"model    found: {first}" in train(fokker_says)[0]
    # Whole without the first: what it samples with is its own.
    shutil.rmtree(first)
    loaded = fokker.load(second, allow_targets=["own_letters"])
    table = loaded.network.state_dict()["logits"]
    saved = torch.load(second / "last.ckpt", weights_only=True)["ema"]
    assert any(torch.equal(table, own["logits"]) for own in saved.values())


@pytest.mark.long
def test_the_stage_before_is_made_in_full(fokker_says: Command) -> None:
    """A limit is of the stage that is asked for, and a stage that was stopped early goes on."""
    train(fokker_says, "trainer.limit_train_batches=10")
    said, _ = train(fokker_says, "formulation.stage=2", "trainer.limit_train_batches=5")
    assert "earlier  continued" in said
    models = [read_json(path) for path in Path("outputs/models").glob("*/model.json")]
    assert sorted((model["status"], model["step"]) for model in models) == [
        ("complete", 40), ("stopped early", 5),
    ]  # fmt: skip


@pytest.mark.long
def test_a_training_goes_on(fokker_says: Command) -> None:
    train(fokker_says)
    (model,) = Path("outputs/models").glob("letters*")
    said, _ = train(fokker_says, f"continue_from={model}", "trainer.max_steps=60")
    assert "from its step 40" in said
    with pytest.raises(SystemExit):
        train(fokker_says, f"continue_from={model}", "formulation.stage=2", "trainer.max_steps=60")


def test_what_a_way_does_otherwise_than_asked_is_refused(
    fokker_says: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        train(fokker_says, "evaluation.noise=quantiles")
    assert "evaluation.noise must be random" in capsys.readouterr().err
    whole = importlib.import_module("own_letters").LetterWay

    def too_few(self: Way, *asked: Any) -> Drawn:
        drawn = sample(self, *asked)
        return Drawn(drawn.x[1:], drawn.evaluations)

    sample = whole.sample
    monkeypatch.setattr(whole, "sample", too_few)
    with pytest.raises(SystemExit):
        train(fokker_says)
    assert "with x of the shape (320, 1), got (319, 1)" in capsys.readouterr().err
    monkeypatch.setattr(whole, "sample", sample)
    monkeypatch.setattr(whole, "exact", lambda self: {"nfe": 7.0})
    with pytest.raises(SystemExit):
        train(fokker_says)
    assert "numbers of LetterWay.exact must have names of their own, got nfe" in (
        capsys.readouterr().err
    )


@pytest.mark.thorough
def test_a_sweep_and_a_search_end_in_an_answer(fokker_says: Command) -> None:
    said = fokker_says(
        "--config-dir", str(HERE / "conf"), "-m", *OWN, "network.spread=0,1",
        "sampler.num_steps=1,3", "evaluation.figures=false",
    )  # fmt: skip
    assert "on letters; tv is total variation, lower is better" in said
    assert "2 models trained" in said
    assert "total variation" in said.splitlines()[-1]
    (sweep,) = Path("outputs/sweeps").iterdir()
    assert {"tv_against_nfe", "loss_per_level"} <= {p.stem for p in sweep.glob("figures/*.png")}
    assert "total variation" in (sweep / "report.html").read_text()
    said = fokker_says(
        "--config-dir", str(HERE / "conf"), "-m", "hydra/sweeper=fokker_search", "objective=tv",
        "hydra.sweeper.n_trials=2", *OWN, "optimizer.lr=interval(0.01,0.1)",
        "evaluation.figures=false",
    )  # fmt: skip
    assert "has the lowest total variation" in said
    with pytest.raises(SystemExit):
        fokker_says(
            "--config-dir",
            str(HERE / "conf"),
            "-m",
            "hydra/sweeper=fokker_search",
            "objective=w1",
            "hydra.sweeper.n_trials=2",
            *OWN,
            "optimizer.lr=interval(0.01,0.1)",
        )


def test_samples_are_functions_of_their_groups(fokker_says: Command) -> None:
    _, run = train(fokker_says, "evaluation.figures=false")
    stored = torch.from_numpy(np.load(run / "samples.npz")["samples"])
    few = train(fokker_says, "evaluation.num_samples=77", "evaluation.figures=false")[1]
    assert torch.equal(torch.from_numpy(np.load(few / "samples.npz")["samples"]), stored[:77])
    small = train(fokker_says, "evaluation.batch_size=10", "evaluation.figures=false")[1]
    assert torch.equal(torch.from_numpy(np.load(small / "samples.npz")["samples"]), stored)
    record = json.loads((run / "run.json").read_text())
    assert record["measures"]["tv"]["words"] == "total variation"
