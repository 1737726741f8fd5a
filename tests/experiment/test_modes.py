"""Networks with dropout and batch norm: trained in one mode, measured in the other, resumed."""

from pathlib import Path
from typing import Any, cast

import pytest
import safetensors.torch
import torch

import tiny_runs
from fokker.diffusion.formulations import Diffusion
from fokker.randomness import Randomness
from fokker.store.models import ModelFolder
from fokker.training import InterruptedTraining
from fokker.training import data as training_data
from fokker.training.ema import EMA
from fokker.training.validation import validate, validate_average

NETWORK = """
import math
import torch
from torch import nn

class Noisy(nn.Module):
    def __init__(self, shape, c_noise_range, width=16):
        super().__init__()
        d = math.prod(shape)
        self.layers = nn.Sequential(
            nn.Linear(d + 1, width), nn.BatchNorm1d(width), nn.SiLU(), nn.Dropout(0.3),
            nn.Linear(width, d),
        )

    def forward(self, x, c_noise, condition=None):
        return self.layers(torch.cat([x.flatten(1), c_noise[:, None]], 1)).reshape(x.shape)
"""
JOB = (
    "~network.width", "~network.depth", "~network.num_frequencies",
    "network._target_=noisy_network.Noisy", "allow_targets=[noisy_network]", "data.batch_size=32",
    "callbacks.save_seconds=1e6", "callbacks.save_steps=7",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _network(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(workdir))
    Path("noisy_network.py").write_text(NETWORK)


def state(folder: ModelFolder) -> dict[str, Any]:
    made = tiny_runs.trained_state(folder)
    del made["curves"]  # They say when it was validated.
    names = [name for name in made if "running_" in name]
    assert len(names) == 2
    assert all(bool(made[name].ne(made[name].flatten()[0]).any()) for name in names)
    return made


def test_validation_changes_no_weight_and_no_statistic(workdir: Path) -> None:
    before = torch.get_rng_state()
    states = []
    for steps in (2, 1000):
        _, folder = tiny_runs.train(
            *JOB, f"callbacks.validation_steps={steps}", f"output_dir=validated_{steps}"
        )
        states.append(state(folder))
    assert tiny_runs.differing(*states) == []
    assert torch.equal(torch.get_rng_state(), before)  # What the caller draws is his own.


def test_validation_is_of_the_network_in_use(workdir: Path) -> None:
    """Twice the same, although it has dropout; and every part is as it was before."""
    training = tiny_runs.compose_experiment(*JOB).task.training.train()
    model = cast(Diffusion, training.formulation)
    model.denoiser.network.layers[1].eval()  # type: ignore[index,union-attr]
    modes = [part.training for part in model.modules()]
    first = validate_average(training)
    assert validate_average(training) == first
    assert [part.training for part in model.modules()] == modes
    assert validate(model.eval()).numbers["denoising_error"] == first["denoising_error"]


def test_dropout_and_statistics_go_on_to_the_bit(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = tiny_runs.train(*JOB, "output_dir=whole")
    update = EMA.update

    def stopped(self: EMA, images: int, batch_size: int) -> None:
        update(self, images, batch_size)
        if images == 12 * batch_size:
            raise KeyboardInterrupt

    monkeypatch.setattr(training_data, "BLOCK_SECONDS", 1e9)
    with monkeypatch.context() as patch:
        patch.setattr(EMA, "update", stopped)
        with pytest.raises(InterruptedTraining):
            tiny_runs.train(*JOB)
    torch.rand(5)
    _, folder = tiny_runs.train(*JOB)
    assert tiny_runs.differing(state(folder), state(whole)) == []


def test_each_step_and_each_rank_has_noise_of_its_own() -> None:
    seeds = {Randomness(s).seed_of("dropout", rank) for s in (0, 1) for rank in (0, 1)}
    assert len(seeds) == 4


def test_statistics_are_kept_with_every_average(workdir: Path) -> None:
    training, folder = tiny_runs.train(*JOB)
    state = training.formulation.network.state_dict()
    kept = {k: v for k, v in state.items() if "running_" in k}
    for name in ("raw", "ema_50000"):
        exported = safetensors.torch.load_file(folder.path / f"{name}.safetensors")
        assert exported.keys() == state.keys()
        for key, statistic in kept.items():
            assert torch.equal(exported[key], statistic)
    again = tiny_runs.compose_experiment(*JOB).task.training
    folder.load_into(again)
    again.use("ema")
    for key, statistic in kept.items():
        assert torch.equal(again.formulation.network.state_dict()[key], statistic)
