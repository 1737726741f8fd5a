"""From a composed configuration to the ways to sample, and to what else is evaluated."""

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from fokker.cli.choices import Choices, option
from fokker.cli.instantiate import Builder
from fokker.experiment import Evaluation, Sampling
from fokker.formulations import Diffusion
from fokker.grids import Grid
from fokker.samplers import Sampler


def _options(
    asked: Sequence[Any], group: str, own: str, node: DictConfig, sources: Sequence[Any]
) -> Iterator[tuple[str, DictConfig]]:
    """Options of a group with a label: names, or `{name: {key: value}}`; none: the run's own."""
    for entry in asked or [own]:
        pairs = entry.items() if isinstance(entry, DictConfig) else [(entry, {})]
        for name, changes in pairs:
            label = str(name)
            if changes:
                label += f"({', '.join(f'{key}={value}' for key, value in changes.items())})"
            if label == own:
                yield label, copy.deepcopy(node)
            else:
                chosen = OmegaConf.merge(option(sources, group, str(name)), changes)
                if isinstance(chosen, DictConfig):
                    yield label, chosen


def _sampler_nodes(config: DictConfig, choices: Choices) -> Iterator[tuple[str, DictConfig]]:
    """The run's own sampler, then every sampler with every number of steps that is asked for."""
    own, asked = choices.options["sampler"], config.evaluation
    yield own, config.sampler
    for label, node in _options(asked.samplers, "sampler", own, config.sampler, choices.sources):
        # The samplers of one evaluation walk along one SDE.
        node.sde = config.sampler.sde
        for num_steps in asked.num_steps or [node.num_steps]:
            changed = copy.deepcopy(node)
            # An adaptive sampler has no number of steps, and so one row.
            if node.num_steps is not None:
                changed.num_steps = num_steps
            yield label, changed


def build_samplings(
    config: DictConfig, choices: Choices, model: Diffusion, build: Builder
) -> list[Sampling]:
    """The run's own sampling first; none twice."""
    own, at_quantiles = choices.options["grid"], config.evaluation.noise == "quantiles"
    if at_quantiles and math.prod(model.data.shape) != 1:
        raise ValueError(
            "evaluation.noise=quantiles needs data in one dimension, got samples of shape "
            f"{model.data.shape}; use evaluation.noise=random"
        )
    own_grid = (own, config.grid)
    grids = list(_options(config.evaluation.grids, "grid", own, config.grid, choices.sources))
    samplings: list[Sampling] = []
    seen: list[Any] = []
    scope = copy.deepcopy(config)
    for index, (name, node) in enumerate(_sampler_nodes(config, choices)):
        for grid_name, grid_node in [own_grid] if index == 0 else grids:
            with open_dict(scope):
                scope.sampler, scope.grid = node, grid_node
            chosen = (scope.sampler, scope.grid)
            parts = [OmegaConf.to_container(part, resolve=True) for part in chosen]
            if parts in seen:
                continue
            seen.append(parts)
            sampler: Sampler = build(scope.sampler, "sampler")
            grid: Grid = build(scope.grid, "grid")
            try:
                nodes = model.nodes(sampler, grid, sampler.num_steps)
            except ValueError as error:
                if sampler.num_steps not in config.evaluation.num_steps or index == 0:
                    raise
                said = str(error).replace("sampler.num_steps", "evaluation.num_steps")
                raise ValueError(said) from error
            samplings.append(Sampling(name, sampler, grid_name, nodes, at_quantiles, grid))
    return samplings


def build_evaluations(
    config: DictConfig, model: Diffusion, own: Sampling, build: Builder
) -> dict[str, Evaluation]:
    """What is evaluated besides the samples, checked."""
    evaluations: dict[str, Evaluation] = {}
    for name, node in config.evaluation.items():
        if OmegaConf.is_dict(node):
            evaluations[str(name)] = build(node, f"evaluation.{name}")
            evaluations[str(name)].check(model, own)
    return evaluations
