"""Every option builds, trains and samples, or is refused before training."""

import itertools
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch.utils.data import Dataset

import fokker
from fokker.config.build_task import find_device
from fokker.config.compose import config_dir
from fokker.config.instantiate import Builder
from fokker.experiment import Result
from fokker.formulation import Asked
from fokker.randomness import Randomness
from tiny_runs import compose_experiment, run

FORMULATIONS = ("ddpm", "edm", "smld", "vp_sde")
WITH_LEVELS = ("ddpm", "smld")
SHORT = ("trainer.max_steps=2", "evaluation.num_samples=32", "sampler.num_steps=3")
FORMULATION_GROUPS = ("sde", "preconditioning", "weighting", "noise_levels")
OTHER_GROUPS = (
    "network", "data", "optimizer", "ema", "callbacks", "logger", "trainer", "evaluation",
)  # fmt: skip


class Squares(Dataset[float]):
    """Points of one dimension."""

    def __len__(self) -> int:
        return 50

    def __getitem__(self, index: int) -> float:
        return 0.01 * index**2


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))


SAMPLERS, GRIDS = options("sampler"), options("grid")
pytestmark = pytest.mark.usefixtures("workdir")


def check(result: Result) -> None:
    """That two steps were trained, and all that came of it is finite."""
    assert torch.isfinite(result.samples).all()
    assert len(result.samples) == 32
    assert tuple(result.samples.shape[1:]) == result.model.data.shape
    numbers = [value for value in result.metrics.values() if value is not None]
    assert np.isfinite(numbers).all(), result.metrics
    # The output layer is 0 at first; it is the first to move.
    assert all(p.abs().max() > 0 for p in result.model.denoiser.parameters())
    assert all(torch.isfinite(p).all() for p in result.model.denoiser.parameters())


def cases(groups: tuple[str, ...]) -> list[str]:
    return [f"{group}={name}" for group in groups for name in options(group)]


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_a_formulation_trains_and_samples_as_it_is(formulation: str) -> None:
    own = [o for o in SHORT if formulation != "smld" or not o.startswith("sampler")]
    check(run(f"formulation={formulation}", *own))


@pytest.mark.long
@pytest.mark.parametrize("option", cases(FORMULATION_GROUPS))
def test_every_part_of_a_loss_trains_and_samples(option: str) -> None:
    # vp_sde's own parts refer to the SDE; levels need a chain.
    formulation = "ddpm" if option == "noise_levels=levels" else "vp_sde"
    other = "formulation.num_levels=40" if formulation == "ddpm" else "grid=edm_rho"
    check(run(f"formulation={formulation}", option, other, *SHORT))


@pytest.mark.long
@pytest.mark.parametrize("option", cases(OTHER_GROUPS))
def test_every_other_option_trains_and_samples(option: str, tmp_path: Path) -> None:
    more = []
    if option == "data=points":
        np.save(tmp_path / "points.npy", 3 + np.random.default_rng(0).normal(size=(50, 2)))
        more = ["data.path=points.npy"]
    if option == "data=dataset":
        target = f"{__name__}.{Squares.__name__}"
        more = [f"data.dataset={{_target_: {target}}}", f"allow_targets=[{__name__}]"]
    refused = {"trainer=multi_node": "needs a start on every machine"}
    if find_device("auto").type == "cpu":
        refused["trainer=gpu"] = "needs a GPU"
        refused |= {f"trainer={name}": "devices=auto counts GPUs" for name in ("ddp", "fsdp")}
    if option in refused:
        with pytest.raises(ValueError, match=refused[option]):
            run(option, *SHORT)
        return
    result = run(option, *more, *SHORT)
    check(result)
    if option.startswith("data="):
        reference = result.model.data.reference(1000)
        assert torch.isfinite(reference).all()
        assert reference.std() > 0


@pytest.mark.long
@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_experiment_runs(experiment: str) -> None:
    text = (config_dir() / "experiment" / f"{experiment}.yaml").read_text()
    small = () if "/network: exact" in text else ("network.width=16", "network.depth=1")
    with mock.patch.object(sys.modules["fokker.experiment.run"], "draw_figures"):
        check(fokker.run([f"experiment={experiment}", *small, *SHORT, "evaluation.num_steps=[4]"]))


def part(group: str, name: str, **more: Any) -> Any:
    """The object of an option, as a run builds it."""
    node = OmegaConf.merge(OmegaConf.load(config_dir() / group / f"{name}.yaml"), more)
    assert isinstance(node, DictConfig)
    build = Builder()
    build.know(OmegaConf.create({"_target_": "fokker.diffusion.formulations.EDM"}))
    return build(node, group)


@pytest.mark.long
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_every_sampler_walks_every_grid_or_says_what_it_needs(formulation: str) -> None:
    made = compose_experiment(f"formulation={formulation}", "sampler=euler", "grid=edm_rho")
    model, levels = made.model, made.model.levels
    assert (levels is not None) == (formulation in WITH_LEVELS)
    for name, grid in itertools.product(SAMPLERS, GRIDS):
        steps = {} if name == "ode_adaptive" else {"num_steps": 4}
        sampler = part("sampler", name, sde=made.task.config["sde"], **steps)
        fits = levels is not None if grid == "levels" else name != "annealed_langevin"
        if not fits:
            what = "sampler=annealed_langevin" if name == "annealed_langevin" else "grid=levels"
            with pytest.raises(ValueError, match=f"^{what} .*; choose .*formulation=.*another "):
                model.nodes(sampler, part("grid", grid), sampler.num_steps)
            continue
        nodes = model.nodes(sampler, part("grid", grid), sampler.num_steps)
        assert len(nodes) == (3 if name == "ode_adaptive" else 5)
        assert bool((nodes.diff() < 0).all())
        if grid == "levels" and levels is not None:
            assert set(nodes[:-1].tolist()) <= set(levels.tolist())
        parts = {"sampler": sampler, "grid": part("grid", grid)}
        way = model.way(Asked(parts, {"sampler": name, "grid": grid}))
        assert torch.equal(way.nodes, nodes)
        samples = way.sample(Randomness(0), 0, 8, 8).x
        assert samples.shape == (8, 1)
        assert torch.isfinite(samples).all(), (name, grid)


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "typed",
    [
        ("sampler=annealed_langevin",),
        ("formulation=vp_sde", "sampler=annealed_langevin", "grid=levels"),
        ("formulation=smld", "grid=geometric"),
        ("formulation=ddpm", "evaluation.samplers=[annealed_langevin]", "grid=iddpm"),
        ("formulation=vp_sde", "grid=levels"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(typed: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"; choose .*(grid=|formulation=)"):
        run(*typed)
    assert not Path("outputs").exists()


@pytest.mark.long
@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("noise_levels", options("noise_levels"))
def test_noise_levels_fit_every_formulation_but_for_levels(
    formulation: str, noise_levels: str
) -> None:
    typed = (f"formulation={formulation}", f"noise_levels={noise_levels}")
    # The formulation's own sampler may need the levels; the grid adapts to any noise.
    sampling = ("sampler=euler", "sampler.num_steps=4", "grid=edm_rho")
    if noise_levels == "levels" and formulation not in WITH_LEVELS:
        with pytest.raises(ValueError, match="noise_levels=levels needs a formulation"):
            run(*typed, *sampling)
        assert not Path("outputs").exists()
        return
    made = compose_experiment(*typed, *sampling)
    (only,) = made.plan.ways
    samples = only.sample(Randomness(0), 0, 8, 8).x
    assert torch.isfinite(samples).all()
