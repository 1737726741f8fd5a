"""Options of the user's: a YAML in a folder of theirs and a class in the current folder."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

import fokker
from fokker.cli.main import main
from fokker.machine.files import read_json
from tiny_runs import TINY, only_model

PACKAGE = "my_package"
ALLOWED = f"allow_targets=[{PACKAGE}]"
SOURCE = '''
import math

import torch
from torch import Tensor, nn

from fokker.diffusion.samplers import Sampler
from fokker.diffusion.sde import SDE
from fokker.diffusion.weighting import Weighting


class Net(nn.Module):
    """Linear in x and c_noise; as if it ran itself twice, for guidance."""

    evaluations = 2

    def __init__(
        self, shape: tuple[int, ...], c_noise_range: tuple[float, float], gain: float = 1.0
    ) -> None:
        super().__init__()
        self.layer = nn.Linear(math.prod(shape) + 1, math.prod(shape))
        self.gain = gain

    def forward(self, x: Tensor, c_noise: Tensor, condition: Tensor | None = None) -> Tensor:
        both = torch.cat([x.flatten(1), c_noise[:, None]], dim=1)
        return self.gain * self.layer(both).reshape(x.shape)


def make_net(shape: tuple[int, ...], c_noise_range: tuple[float, float]) -> Net:
    return Net(shape, c_noise_range, 2.0)


class Linear(SDE):
    """sigma = rate t."""

    def __init__(self, rate: float = 3.0) -> None:
        super().__init__(0.01, 10.0)
        self.rate = rate

    def scale(self, t):
        return torch.ones_like(torch.as_tensor(t, dtype=torch.float64))

    def sigma(self, t):
        return self.rate * torch.as_tensor(t, dtype=torch.float64)

    def time(self, sigma):
        return torch.as_tensor(sigma, dtype=torch.float64) / self.rate

    def drift(self, t):
        return 0 * self.scale(t)

    def squared_diffusion(self, t):
        return 2 * self.rate * self.sigma(t)


class Flat(Weighting):
    def __call__(self, sigma, noise):
        return torch.full_like(sigma, 2.5)


class Jump(Sampler):
    """D at every node."""

    def __init__(self, sde: SDE, num_steps: int = 3, prior: str = "published", jump: float = 1.0):
        super().__init__(sde, num_steps, prior)
        self.jump = jump

    def steps(self, denoise, y, nodes, noise):
        for i in range(len(nodes)):
            y = self.jump * denoise(y, nodes.sigma[i])
            yield y
'''
YAML = {
    "network": f"_target_: {PACKAGE}.Net\n_partial_: true\ngain: 0.5\n",
    "sde": f"_target_: {PACKAGE}.Linear\nrate: 2.0\n",
    "weighting": f"_target_: {PACKAGE}.Flat\n",
    "sampler": f"_target_: {PACKAGE}.Jump\nnum_steps: 4\njump: 1.0\nprior: published\n",
}
# TINY without the keys of its network.
SMALL = [override for override in TINY if not override.startswith("network.")]


@pytest.fixture
def own(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package in the current folder, and a folder of options."""
    (workdir / f"{PACKAGE}.py").write_text(SOURCE)
    for group, text in YAML.items():
        (workdir / "options" / group).mkdir(parents=True)
        (workdir / "options" / group / "mine.yaml").write_text(text)
    # As a console script finds it: the current folder is on the path only if fokker puts it there.
    places = [place for place in sys.path if place not in ("", ".", str(workdir))]
    monkeypatch.setattr("sys.path", places)
    yield workdir
    sys.modules.pop(PACKAGE, None)


@pytest.fixture
def command(own: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """The command with the folder of options: its output, and its errors after `fokker: `."""

    def call(*overrides: str) -> str:
        sys.modules.pop(PACKAGE, None)
        importlib.invalidate_caches()
        arguments = ["fokker", "--config-dir", "options", *SMALL, *overrides]
        monkeypatch.setattr("sys.argv", arguments)
        with mock.patch.object(sys.modules["fokker.experiment.run"], "draw_figures"):
            main()
        out, err = capfd.readouterr()
        assert err == ""
        return out

    return call


def key(said: str) -> str:
    """The model's key in what a plan says."""
    (found,) = re.findall(r"^model +\S+-([0-9a-f]{10})$", said, re.MULTILINE)
    return str(found)


def test_an_own_network_trains_and_samples(command: Any) -> None:
    said = command("network=mine", "network.gain=0.25", ALLOWED, "hydra.run.dir=run")
    assert "model    trained:" in said
    record = read_json(Path("run/run.json"))
    assert record["parameters"] == 3
    assert np.isfinite(np.load("run/samples.npz")["samples"]).all()
    sys.modules.pop(PACKAGE)
    sys.path[:] = [place for place in sys.path if place != str(Path.cwd())]
    model = fokker.load("run", allow_targets=[PACKAGE])
    assert type(model.denoiser.network).__name__ == "Net"
    assert model.denoiser.network.gain == 0.25
    # Heun's method: each step but the last has two of D, each of which is two of the network.
    metrics = read_json(Path("run/metrics.json"))
    assert metrics["nfe"] == 2 * (2 * metrics["num_steps"] - 1)
    said = command("network=mine", "network.gain=0.25", ALLOWED, "sampler.num_steps=2")
    assert "model    found:" in said


def test_an_own_class_is_refused_until_its_package_is_named(
    command: Any, own: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = sorted(own.rglob("*"))
    for more in ([], ["allow_targets=[another]"]):
        with pytest.raises(SystemExit) as ended:
            command("network=mine", *more)
        assert ended.value.code == 1
        err = capfd.readouterr().err
        assert err.startswith("fokker: network._target_ must name a class in fokker")
        assert "got my_package.Net" in err
        assert "allow_targets=[my_package]" in err
    assert PACKAGE not in sys.modules
    assert sorted(own.rglob("*")) == before


def test_a_checkpoint_of_an_own_class_needs_its_package_named_again(
    command: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    command("network=mine", ALLOWED)
    place = f"checkpoint={only_model().path}"
    with pytest.raises(SystemExit):
        command(place)
    assert "allow_targets=[my_package]" in capfd.readouterr().err
    assert "model    loaded:" in command(place, ALLOWED)
    with pytest.raises(ValueError, match="allow_targets"):
        fokker.load(only_model().path)


@pytest.mark.long
@pytest.mark.parametrize("option", ["mine", "function"])
def test_the_source_of_an_own_class_makes_another_model(
    command: Any, own: Path, option: str
) -> None:
    text = f"_target_: {PACKAGE}.make_net\n_partial_: true\n"
    (own / "options/network/function.yaml").write_text(text)
    typed = (f"network={option}", ALLOWED, "task=plan")
    first = key(command(*typed))
    file = own / f"{PACKAGE}.py"
    # A change elsewhere in the file may be one of what the class uses.
    file.write_text(SOURCE.replace("2.5", "2.75"))
    assert key(command(*typed)) != first
    old, new = ("self.gain * ", "2 * self.gain * ") if option == "mine" else ("2.0)", "3.0)")
    assert old in SOURCE
    file.write_text(SOURCE.replace(old, new))
    assert key(command(*typed)) != first


def test_own_parts_of_other_groups_train_and_sample(command: Any) -> None:
    said = command(
        "formulation=vp_sde", "sde=mine", "weighting=mine", "sampler=mine", ALLOWED,
        "hydra.run.dir=run", "evaluation.samplers=[mine,heun]", "evaluation.num_steps=[2]",
    )  # fmt: skip
    assert "model    trained:" in said
    record = read_json(Path("run/metrics.json"))
    assert (record["num_steps"], record["nfe"]) == (4, 4)
    assert np.isfinite(np.load("run/samples.npz")["samples"]).all()
    model = fokker.load("run", allow_targets=[PACKAGE])
    assert model.noise_levels.range == (0.01, 10.0)
    assert type(model.weighting).__name__ == "Flat"


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    ("option", "old", "new", "is_trained_from"),
    [
        ("weighting=mine", "2.5", "2.75", True),
        ("sde=mine", "super().__init__(0.01", "super().__init__(0.02", True),
        ("+sde@sampler.sde=mine", "super().__init__(0.01", "super().__init__(0.02", False),
        ("sampler=mine", "self.jump * denoise", "2 * self.jump * denoise", False),
    ],
)
def test_own_parts_enter_the_key_where_the_model_is_trained_from_them(
    command: Any, own: Path, option: str, old: str, new: str, is_trained_from: bool
) -> None:
    plain = key(command("formulation=vp_sde", "task=plan"))
    first = key(command("formulation=vp_sde", option, ALLOWED, "task=plan"))
    assert (first != plain) == is_trained_from
    assert old in SOURCE
    (own / f"{PACKAGE}.py").write_text(SOURCE.replace(old, new))
    changed = key(command("formulation=vp_sde", option, ALLOWED, "task=plan"))
    assert (changed != first) == is_trained_from


def test_python_finds_own_options_on_the_search_path(own: Path) -> None:
    where = f"hydra.searchpath=[file://{own / 'options'}]"
    with mock.patch.object(sys.modules["fokker.experiment.run"], "draw_figures"):
        result = fokker.run([where, *SMALL, "network=mine", ALLOWED])
    assert type(result.model.denoiser.network).__name__ == "Net"
