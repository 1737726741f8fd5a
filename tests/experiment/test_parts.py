"""The groups that a training is built from are those that its formulation's class names."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

import fokker
import tiny_runs
from fokker.formulation import Formulation
from fokker.machine.files import read_json
from fokker.store.description import read_description

MINE = """
from fokker.diffusion.formulations import EDM, Diffusion
from fokker.diffusion.sde import SDE

class Mine(EDM):
    '''Its weights depend on an SDE too.'''

    parts = (*Diffusion.parts, "sde")

    def __init__(self, data, network, preconditioning, weighting, noise_levels, seed, sde: SDE):
        super().__init__(data, network, preconditioning, weighting, noise_levels, seed)
        self.sde = sde

class Loose(Diffusion):
    '''One of the usual parts, of a class that takes whatever comes.'''

    def __init__(self, **parts):
        super().__init__(**parts)

def said(sde: SDE, **parts) -> Mine:
    return Mine(sde=sde, **parts)

def unsaid(**parts):
    return EDM(**parts)

def hidden(sde=None, **parts):
    return Mine(sde=sde, **parts)
"""
OWN = ("allow_targets=[my_formulations]",)


@pytest.fixture(autouse=True)
def mine(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(workdir))
    monkeypatch.delitem(sys.modules, "my_formulations", raising=False)
    importlib.invalidate_caches()
    Path("my_formulations.py").write_text(MINE)


def key(name: str, *overrides: str) -> str:
    target = f"formulation._target_=my_formulations.{name}"
    return tiny_runs.compose_experiment(target, *OWN, *overrides).task.folder.path.name


@pytest.mark.parametrize("name", ["Mine", "said"])
def test_a_formulation_of_one_s_own_names_its_groups(name: str) -> None:
    assert key(name) != key(name, "sde=ve_geometric") != key(name, "sde.sigma_max=70")
    assert key("Loose") == key("Loose", "sde=ve_geometric")


def test_what_it_names_is_recorded_and_read_without_building_it() -> None:
    words = ("formulation._target_=my_formulations.Mine", *OWN)
    result = tiny_runs.run(*words, "sde.sigma_max=70")
    folder = tiny_runs.only_model()
    groups = ["formulation", "preconditioning", "weighting", "noise_levels", "network", "sde"]
    about = read_description(folder.checkpoint)
    for record in (read_json(result.path / "run.json"), folder.record, about["record"]):
        assert (record["parts"], record["data_groups"]) == (groups, ["data"])
    assert about["config"]["sde"]["sigma_max"] == 70
    loaded = fokker.load(folder.path, allow_targets=["my_formulations"])
    assert vars(loaded.sde) == vars(result.model.sde)
    x, sigma = torch.randn(5, 1), torch.tensor(0.7)
    assert torch.equal(loaded.denoiser(x, sigma), result.model.denoiser(x, sigma))
    again = tiny_runs.run(*words, "sde.sigma_max=70")
    assert read_json(again.path / "run.json")["training"] == "found"
    with pytest.raises(ValueError, match=r"another configuration: sde\.sigma_max \(70 there, 80"):
        tiny_runs.compose_experiment(*words, f"checkpoint={folder.path}", "sde.sigma_max=80")
    with pytest.raises(ValueError, match=r"^sde must be an option, and was removed; say sde=NA"):
        tiny_runs.compose_experiment(*words, "~sde", "+sde@sampler.sde=edm")


def test_a_function_says_what_it_gives_where_that_has_other_parts() -> None:
    for name in ("unsaid", "hidden"):
        with pytest.raises(ValueError, match=r"a function whose annotation says which one it retu"):
            key(name)


def test_a_class_that_is_no_formulation_is_refused() -> None:
    with pytest.raises(ValueError, match=r"_target_ must name a class of the kind fokker\.form"):
        tiny_runs.compose_experiment("formulation._target_=fokker.networks.MLP")


def test_every_formulation_says_groups_of_texts() -> None:
    def below(kind: type[Formulation]) -> list[type[Formulation]]:
        return [kind, *(found for sub in kind.__subclasses__() for found in below(sub))]

    kinds = [kind for kind in below(Formulation) if kind.__module__.startswith("fokker.")]
    assert len(kinds) > 5
    for kind in kinds:
        assert json.loads(json.dumps(kind.parts)) == list(kind.parts)
        assert {"formulation", "network"} <= {*kind.parts}
        assert not {*kind.parts} & {*kind.data_groups}
