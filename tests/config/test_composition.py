"""What the configuration composes to: independent groups, in any order, with clear precedence."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

from fokker.cli.main import main
from fokker.config.compose import composed, config_dir
from fokker.diffusion.sde import EDM, VPLinear
from tiny_runs import compose_experiment

CONF = config_dir()
FORMULATIONS = ("ddpm", "edm", "smld", "vp_sde")
SIX = ("sde", "preconditioning", "weighting", "noise_levels", "sampler", "grid")


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def composition(*overrides: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The configuration without hydra's node, unresolved, and the option of each group."""
    with composed(overrides) as config:
        choices = {str(group): str(name) for group, name in config.hydra.runtime.choices.items()}
        plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        node = OmegaConf.to_container(plain)
    assert isinstance(node, dict)
    return {str(key): value for key, value in node.items()}, choices


def file_node(group: str, name: str) -> dict[str, Any]:
    """The node that an option's file stands for; `defaults` may place other options inside it."""
    loaded = OmegaConf.load(CONF / group / f"{name}.yaml")
    assert isinstance(loaded, DictConfig)
    content: Any = OmegaConf.to_container(loaded)
    inside = [entry for entry in content.pop("defaults", []) if entry != "_self_"]
    placed = (entry.split("@") for entry in inside)
    return {**{key: file_node(group, other) for other, key in placed}, **content}


@pytest.mark.one_in(4)
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_a_formulation_with_any_options_holds_exactly_their_files(formulation: str) -> None:
    alone, _ = composition(f"formulation={formulation}")
    # Every option of every group, six at a time: a leak from any of them shows in another node.
    rounds = max(len(options(group)) for group in SIX)
    for i in range(rounds):
        chosen = {group: options(group)[i % len(options(group))] for group in SIX}
        typed = [f"{group}={name}" for group, name in chosen.items()]
        node, choices = composition(f"formulation={formulation}", *typed)
        for group, name in chosen.items():
            assert node[group] == file_node(group, name), f"{formulation} {typed}: {group}"
            assert choices[group] == name
        others = {key: value for key, value in node.items() if key not in SIX}
        assert others == {key: value for key, value in alone.items() if key not in SIX}, typed


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_a_formulation_chooses_six_options_and_sets_its_own_keys_alone(formulation: str) -> None:
    text = (CONF / "formulation" / f"{formulation}.yaml").read_text()
    content = yaml.safe_load(text)
    assert text.startswith("# @package _global_\n")
    assert set(content) == {"defaults", "formulation", "evaluation"}
    assert content["evaluation"] == {"grids": []}  # The list of a group that only it has.
    chosen = {
        group.strip("/"): name
        for entry in content["defaults"][:-1]
        for group, name in entry.items()
    }
    assert tuple(chosen) == SIX
    assert content["defaults"][-1] == "_self_"
    node, choices = composition(f"formulation={formulation}")
    for group, name in chosen.items():
        assert choices[group] == name
        assert node[group] == file_node(group, name)


def test_only_formulations_and_experiments_reach_beyond_their_group() -> None:
    for path in CONF.rglob("*.yaml"):
        group = path.relative_to(CONF).parts[0]
        if group not in ("formulation", "experiment", "hydra"):
            assert "@package" not in path.read_text(), path


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "typed",
    [
        ("formulation=ddpm", "sde=ve_geometric"),
        ("formulation=smld", "sampler=ddim", "sampler.eta=0.25"),
        ("experiment=crossed", "formulation=edm", "seed=3"),
    ],
)
def test_the_order_of_overrides_does_not_matter(typed: tuple[str, ...]) -> None:
    first = composition(*typed)
    for order in itertools.permutations(typed):
        assert composition(*order) == first, order


def test_an_override_of_one_group_leaves_the_others_to_the_formulation() -> None:
    alone, _ = composition("formulation=ddpm")
    changed, choices = composition("formulation=ddpm", "sde=ve_geometric")
    assert choices["formulation"] == "ddpm"
    differing = {key for key in alone.keys() | changed.keys() if alone.get(key) != changed.get(key)}
    assert differing == {"sde"}


def test_an_experiment_wins_over_the_formulation_and_the_command_line_over_both() -> None:
    node, choices = composition("experiment=crossed")
    assert (choices["formulation"], choices["sde"], choices["data"]) == (
        "ddpm", "ve_geometric", "uniform",
    )  # fmt: skip
    assert node["sde"] == file_node("sde", "ve_geometric")  # ddpm's own is vp_linear
    assert node["weighting"] == file_node("weighting", "eps")
    assert node["seed"] == 7
    node, choices = composition("experiment=crossed", "formulation=smld", "sde=edm", "seed=3")
    assert (choices["formulation"], choices["sde"], choices["weighting"]) == ("smld", "edm", "smld")
    assert node["sde"] == file_node("sde", "edm")
    assert node["seed"] == 3
    assert node["data"] == file_node("data", "uniform")


def test_the_sde_that_is_sampled_can_be_another_than_the_trained_one() -> None:
    plain = compose_experiment("formulation=vp_sde")
    other = compose_experiment("formulation=vp_sde", "+sde@sampler.sde=edm")
    assert isinstance(plain.plan.ways[0].sampler.sde, VPLinear)
    assert isinstance(other.plan.ways[0].sampler.sde, EDM)
    assert other.task.folder.path == plain.task.folder.path  # the same model
    assert other.task.config["sde"] == plain.task.config["sde"]
    # Nothing of the SDE that it replaces is left behind.
    assert other.task.config["sampler"]["sde"] == file_node("sde", "edm")
    trained = compose_experiment("formulation=vp_sde", "sde=edm")
    assert trained.task.folder.path != plain.task.folder.path


def test_the_samplers_of_an_evaluation_share_the_sde_that_is_sampled() -> None:
    made = compose_experiment(
        "formulation=vp_sde",
        "+sde@sampler.sde=edm",
        "evaluation.samplers=[heun,{ddim: {eta: 0.5}}]",
    )
    assert [type(s.sampler.sde) for s in made.plan.ways] == [EDM, EDM, EDM]


def test_configuration_files_are_short() -> None:
    for path in CONF.rglob("*.yaml"):
        assert len(path.read_text().splitlines()) <= 25, path


def test_help_lists_every_option_of_every_group(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, workdir: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["fokker", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    groups = [path for path in CONF.iterdir() if path.is_dir() and path.name != "hydra"]
    groups = [path for path in groups if any(path.glob("*.yaml"))]
    assert {path.name for path in groups} >= {*SIX, "formulation", "data", "network", "experiment"}
    for path in groups:
        assert f"{path.name}: {', '.join(options(path.name))}" in lines
    node, _ = composition()
    keys = {line.split(":")[0] for line in lines}
    assert keys >= {*node, *(f"  {key}" for key in node["evaluation"])}
    assert list(workdir.iterdir()) == []
