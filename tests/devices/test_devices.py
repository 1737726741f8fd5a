"""Whole runs on a second device: nothing is refused, nothing waited for, every number the CPU's."""

from collections.abc import Callable
from pathlib import Path

import device_work
import pytest
from on_device import in_own_process, in_two_ranks

SHORT_LIKELIHOOD = (
    "evaluation.likelihood.num_points=4", "evaluation.likelihood.draws=4",
    "evaluation.likelihood.rtol=1e-3", "evaluation.likelihood.atol=1e-3",
)  # fmt: skip
SMALL_MAPS = (
    "evaluation.flow_field.num_times=10", "evaluation.flow_field.num_places=5",
    "evaluation.marginal_map.num_points=200", "evaluation.steps_map.num_points=200",
    "evaluation.steps_map.num_steps=[3,5]", "evaluation.pde.num_points=200",
    "evaluation.pde.num_levels=2",
)  # fmt: skip
CHAIN = ("formulation=ddpm", "formulation.num_levels=40", "sampler.num_steps=10")
RUNS: dict[str, tuple[str, ...]] = {
    "images": (
        "data=digits", "data.held_out_share=0.95", "evaluation=likelihood", *SHORT_LIKELIHOOD
    ),
    "maps": (
        "data=mixture", "evaluation=[likelihood,pde,flow_field,marginal_map,steps_map]",
        "evaluation.samplers=[heun,ancestral,ode_adaptive]", "evaluation.num_steps=[3,6]",
        *SHORT_LIKELIHOOD, *SMALL_MAPS,
    ),
    "chain": (*CHAIN, "evaluation=chain", "evaluation.chain.num_points=200"),
    "bound of a chain": (*CHAIN, "sampler=heun", "evaluation=likelihood", *SHORT_LIKELIHOOD),
    "levels": (
        "formulation=smld", "formulation.num_levels=6", "sampler=annealed_langevin",
        "sampler.num_steps=6", "weighting=learned",
    ),
    "numbers of levels": (*CHAIN, "weighting=elbo", "preconditioning=iddpm"),
    "elbo": (*CHAIN, "weighting=elbo", "noise_levels=log_uniform"),
    "exact": (
        "data=ring8", "network=exact", "sampler.num_steps=4", "evaluation.budget_points=5"
    ),
    "quantiles": ("evaluation.noise=quantiles", "weighting=likelihood", "noise_levels=log_uniform"),
    "parts": ("trainer.device_batch_size=64", "optimizer.max_grad_norm=0.01"),
}  # fmt: skip


@pytest.fixture
def apart(tmp_path: Path) -> Callable[..., None]:
    """Does work in a process and a folder of its own."""
    return lambda work, *arguments: in_own_process(work, tmp_path, *arguments)


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_the_cpus(name: str, apart: Callable[..., None]) -> None:
    apart(device_work.whole_run, *RUNS[name])


@pytest.mark.long
def test_a_training_goes_on(apart: Callable[..., None]) -> None:
    apart(device_work.continued, "weighting=learned")


@pytest.mark.long
@pytest.mark.parametrize(
    "overrides",
    [
        ("optimizer.max_grad_norm=0.01", "weighting=learned", "trainer.device_batch_size=64"),
        (*CHAIN, "preconditioning=iddpm"),
    ],
    ids=["cut gradients", "chain"],
)
def test_a_step_of_training_is_not_waited_for(
    overrides: tuple[str, ...], apart: Callable[..., None]
) -> None:
    apart(device_work.training_waits, *overrides)


SAMPLERS = sorted(file.stem for file in (Path(__file__).parents[2] / "conf" / "sampler").iterdir())
LEVELS = ("formulation=smld", "formulation.num_levels=12", "grid=levels")


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "ode_adaptive"])
def test_a_step_of_sampling_is_not_waited_for(sampler: str, apart: Callable[..., None]) -> None:
    apart(device_work.sampling_waits, *LEVELS, f"sampler={sampler}")


def test_averages_are_of_the_weights_that_train(apart: Callable[..., None]) -> None:
    apart(device_work.averages_follow)


def test_two_ranks_are_one_process(tmp_path: Path) -> None:
    in_two_ranks(device_work.two_ranks, tmp_path, "data=ring8", "sampler.num_steps=4")
