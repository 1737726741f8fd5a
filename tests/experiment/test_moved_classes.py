"""Records whose classes have moved since: known by their group and their name."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
import yaml

import fokker
import tiny_runs
from fokker.config.compose import config_dir
from fokker.diffusion.formulations import Diffusion
from fokker.machine.files import checksum, read_json
from fokker.store.description import read_description
from fokker.store.identity import Groups, by_name, model_key, training_config
from fokker.store.whereabouts import as_today, override_as_today

OWN = re.compile(r"fokker\.(?:\w+\.)+(\w+)")


def moved(text: str) -> str:
    """A text in which each class of fokker's stands in another module."""
    return OWN.sub(r"fokker.elsewhere.old.\1", text)


def move(folder: Path) -> None:
    """Let the records of a run, or of a model, be of a time when its classes stood elsewhere."""
    config = folder / "config.yaml"
    before = config.read_text()
    config.write_text(moved(before))
    assert config.read_text() != before
    if (folder / "run.json").is_file():
        record = read_json(folder / "run.json")
        record["files"]["config.yaml"] = checksum(config)
        (folder / "run.json").write_text(json.dumps(record))
        return
    content = torch.load(folder / "last.ckpt", weights_only=True)
    content["fokker"] = moved(content["fokker"])
    torch.save(content, folder / "last.ckpt")
    record = json.loads(moved(json.dumps(read_json(folder / "model.json"))))
    record["checksums"] = [checksum(folder / "last.ckpt")]
    for file in folder.glob("*.safetensors"):
        with safetensors.safe_open(file, "pt") as opened:
            about = {"fokker": moved(opened.metadata()["fokker"])}
        safetensors.torch.save_file(safetensors.torch.load_file(file), file, about)
        record["exports"][file.name] = checksum(file)
    (folder / "model.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    "overrides",
    [
        ("formulation=vp_sde", "noise_levels._target_=fokker.diffusion.noise_levels.UniformTime"),
        ("formulation=ddpm", "preconditioning=edm", "data=ring8"),
    ],
)
def test_a_run_is_used_wherever_its_classes_were(workdir: Path, overrides: tuple[str, ...]) -> None:
    first = tiny_runs.run(*overrides)
    folder = tiny_runs.only_model().path
    shutil.copytree(first.path, "before")
    for place in (first.path, folder):
        move(place)
    for path in (first.path, folder, folder / "last.ckpt", folder / "ema_50000.safetensors"):
        x, sigma = torch.randn(5, *first.model.data.shape), torch.tensor(0.7)
        assert torch.equal(fokker.load(path).denoiser(x, sigma), first.model.denoiser(x, sigma))
    found = tiny_runs.run(*overrides)
    assert read_json(found.path / "run.json")["training"] == "found"
    short = ("evaluation.figures=false", "evaluation.num_samples=100")
    again = fokker.run([f"checkpoint={first.path}", *short])
    assert torch.equal(again.samples, first.samples)
    longer = tiny_runs.run(f"continue_from={folder}", "trainer.max_steps=22", *overrides)
    assert read_json(longer.path / "run.json")["continued_at"] == 20
    tiny_runs.compose_experiment(f"evaluation.beside=[{first.path}]", *overrides)
    tiny_runs.compose_experiment(f"init_from={folder}", *overrides)
    said: list[str] = []
    from fokker.cli.tasks import carry_out

    carry_out("compare", ["task=compare", str(first.path), "before"], said.append)
    assert "configuration: no difference" in said[0]
    assert "\npaired: the same data" in said[0]


def test_a_run_of_the_ideal_denoiser_is_so_too(workdir: Path) -> None:
    result = tiny_runs.run("network=exact")
    move(result.path)
    assert fokker.load(result.path).is_exact


def test_a_class_is_known_by_its_group(workdir: Path) -> None:
    """EDM is a formulation, an SDE, a preconditioning and a weighting."""
    old = "fokker.old.EDM"
    node: Any = {
        "formulation": {"_target_": old, "parts": [{"_target_": old}], "sde": {"_target_": old}},
        "noise_levels": {"_target_": "fokker.old.UniformTime", "sde": {"_target_": old}},
        "preconditioning": {"_target_": old},
        "optimizer": {"optimizer": {"_target_": "torch.optim.Adam"}},
        "data": {"distribution": {"_target_": "fokker.x.two_moons"}, "_target_": "mine.x.ToyData"},
        "network": {"_target_": old},
        "seed": 3,
    }
    assert as_today(node) == {
        "formulation": {
            "_target_": "fokker.diffusion.formulations.EDM",
            "parts": [{"_target_": "fokker.diffusion.formulations.EDM"}],
            "sde": {"_target_": "fokker.diffusion.sde.EDM"},
        },
        "noise_levels": {
            "_target_": "fokker.diffusion.noise_levels.UniformTime",
            "sde": {"_target_": "fokker.diffusion.sde.EDM"}
        },
        "preconditioning": {"_target_": "fokker.diffusion.preconditioning.EDM"},
        "optimizer": {"optimizer": {"_target_": "torch.optim.Adam"}},
        "data": {
            "distribution": {"_target_": "fokker.distributions.two_moons"},
            "_target_": "mine.x.ToyData",
        },
        "network": {"_target_": old},
        "seed": 3,
    }  # fmt: skip
    for word, now in {
        f"weighting._target_={old}": "weighting._target_=fokker.diffusion.weighting.EDM",
        f"+sampler.sde._target_={old}": "+sampler.sde._target_=fokker.diffusion.sde.EDM",
        f"+sampler.sde={{_target_: {old}, x: 1}}": (
            "+sampler.sde={_target_: fokker.diffusion.sde.EDM, x: 1}"
        ),
        f"network._target_={old}": f"network._target_={old}",
        "seed=3": "seed=3",
        "~ema.rampup": "~ema.rampup",
    }.items():
        assert override_as_today(word) == now


def test_every_class_in_the_configuration_is_found_again() -> None:
    """Also those inside of others, and each option by its own name."""
    count = 0
    for file in config_dir().glob("*/*.yaml"):
        if file.parent.name in ("experiment", "sweeps", "hydra"):
            continue
        node = yaml.safe_load(file.read_text()) or {}
        is_global = file.read_text().startswith("# @package _global_")
        whole = node if is_global else {file.parent.name: node}
        count += len(OWN.findall(str(whole)))
        assert as_today(json.loads(moved(json.dumps(whole)))) == whole, file
    assert count > 70


def test_a_class_that_no_option_names_is_said_not_to_be_there(workdir: Path) -> None:
    _, folder = tiny_runs.train()
    content = torch.load(folder.checkpoint, weights_only=True)
    content["fokker"] = content["fokker"].replace("fokker.training.ema.EMA", "fokker.other.Gone")
    torch.save(content, "gone.ckpt")
    with pytest.raises(ValueError, match=r"ema\._target_: fokker\.other\.Gone cannot be impor"):
        fokker.load("gone.ckpt")


def test_the_key_knows_classes_by_group_and_name_alone(workdir: Path) -> None:
    made = tiny_runs.compose_experiment("formulation=vp_sde", "data=ring8")
    groups, hashes = Groups.of(Diffusion), ("", "", "", "")
    plain = training_config(made.task.config, groups)
    text = json.dumps(plain)
    assert len(OWN.findall(text)) > 7  # Those inside of others too.
    key = model_key(plain, *hashes)
    assert made.task.folder.path.name == f"vp_sde-ring8-{key}"
    assert model_key(json.loads(moved(text)), *hashes) == key
    for name in {found[1] for found in OWN.finditer(text)}:
        other = json.loads(text.replace(f'.{name}"', f'.{name}2"'))
        assert model_key(other, *hashes) != key, name
    assert by_name({"x": [{"_target_": "a.b.C"}]}) == {"x": [{"_target_": "C"}]}


NETS = """
import torch

class Own(torch.nn.Module):
    def __init__(self, shape, c_noise_range):
        super().__init__()
        self.layer = torch.nn.Linear(shape[0], shape[0])

    def forward(self, x, c_noise, condition=None):
        return self.layer(x)
"""


def test_one_s_own_classes_of_one_name_are_told_by_their_source(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(workdir))
    for name, more in (("nets_a", ""), ("nets_b", ""), ("nets_c", "# Another.\n")):
        monkeypatch.delitem(sys.modules, name, raising=False)
        Path(f"{name}.py").write_text(NETS + more)

    def of(module: str) -> tuple[str, ...]:
        return (
            "~network.width", "~network.depth", "~network.num_frequencies",
            f"network._target_={module}.Own", f"allow_targets=[{module}]",
        )  # fmt: skip

    _, folder = tiny_runs.train(*of("nets_a"))
    assert tiny_runs.compose_experiment(*of("nets_b")).task.folder.path == folder.path
    assert tiny_runs.compose_experiment(*of("nets_c")).task.folder.path != folder.path
    for key in ("checkpoint", "continue_from"):
        more = (f"{key}={folder.path}", "trainer.max_steps=20")
        longer = (f"{key}={folder.path}", "trainer.max_steps=25")
        tiny_runs.compose_experiment(*of("nets_b"), *(more if key == "checkpoint" else longer))
        said = "the source of your own" if key == "checkpoint" else r"network\._target_ \(nets_a"
        with pytest.raises(ValueError, match=said):
            tiny_runs.compose_experiment(*of("nets_c"), *(more if key == "checkpoint" else longer))


def test_a_description_is_read_with_the_classes_of_today(workdir: Path) -> None:
    _, folder = tiny_runs.train()
    before = read_description(folder.checkpoint)
    move(folder.path)
    assert read_description(folder.checkpoint) == before
