"""Lightning callbacks of one's own: told blocks of steps, saved, and part of what was trained."""

from pathlib import Path

import pytest
import torch

from fokker.machine.files import read_json
from fokker.store.identity import Groups, training_config
from pages import write_code
from tiny_runs import compose_experiment, run, train

CLIPPING = (
    "+callbacks.extra.clipping._target_=own_clipping.Clipping", "allow_targets=[own_clipping]",
)  # fmt: skip


@pytest.fixture
def own(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The module of the user's own."""
    monkeypatch.syspath_prepend(str(workdir))
    write_code("extending.md", workdir)
    return workdir / "own_clipping.py"


def test_a_callback_changes_weights_and_what_was_trained(own: Path) -> None:
    plain, folder = train()
    clipped, other = train(*CLIPPING)
    assert folder.path != other.path
    assert max(float(p.abs().max()) for p in clipped.formulation.network.parameters()) < 1.001e-3
    assert max(float(p.abs().max()) for p in plain.formulation.network.parameters()) > 2e-3
    states = torch.load(other.checkpoint, weights_only=True)["callbacks"]
    assert {"steps": 20} in states.values()
    batches = torch.load(other.checkpoint, weights_only=True)["loops"]["fit_loop"]
    assert batches["epoch_loop.batch_progress"]["total"]["completed"] == 20  # A step each.
    # Found again by the same; its source counts as a network's does.
    assert compose_experiment(*CLIPPING).origin.is_ready
    assert not compose_experiment(*CLIPPING, "+callbacks.extra.clipping.most=0.1").origin.is_ready
    own.write_text(own.read_text().replace("counts steps", "counts all steps"))
    assert not compose_experiment(*CLIPPING).origin.is_ready


def test_a_model_with_callbacks_is_sampled_again_by_its_checkpoint(own: Path) -> None:
    made = run(*CLIPPING)
    model = read_json(made.path / "run.json")["model"]["path"]
    again = run(f"checkpoint={model}", "sampler.num_steps=3", *CLIPPING)
    assert again.metrics["num_steps"] == 3


def test_without_callbacks_the_key_is_as_before() -> None:
    made = compose_experiment()
    config = training_config(made.task.config, Groups.of(type(made.model)))
    assert "callbacks" not in config


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("+callbacks.extra.rate=3",), r"callbacks\.extra\.rate must be .*Callback, got 3"),
        (("+callbacks.extra.rate._target_=fokker.tracking.CSV",),
         r"callbacks\.extra\.rate\._target_ must name a class of the kind lightning"),
        (("+callbacks.extra.rate._target_=lightning.pytorch.callbacks.RichProgressBar",),
         r"callbacks\.extra\.rate\._target_ must name a class in fokker"),
        (("+callbacks.extra.rate._target_=lightning.pytorch.callbacks.DeviceStatsMonitor",
          "allow_targets=[lightning.pytorch.callbacks]"), r"callbacks\.extra cannot be: Cannot"),
    ],
)
@pytest.mark.usefixtures("workdir")
def test_what_is_no_callback_is_refused(words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        run(*words)
