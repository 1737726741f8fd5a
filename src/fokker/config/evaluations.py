"""The step from a composed configuration to the ways to sample and the other evaluations."""

import copy
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from fokker.config.arguments import shown
from fokker.config.choices import Choices, option
from fokker.config.instantiate import Builder
from fokker.evaluations import Evaluation
from fokker.formulation import Asked, Formulation, Way
from fokker.machine.own_code import own_code

Labelled = tuple[str, DictConfig]


def _options(
    asked: Sequence[object], group: str, own: Labelled, sources: Sequence[object]
) -> Iterator[Labelled]:
    """Yield the options that are listed for a group, with labels; if none, the run's own.

    An entry is a name, or `{name: {key: value}}`.
    """
    for entry in asked or [own[0]]:
        pairs = entry.items() if isinstance(entry, DictConfig) else [(entry, {})]
        for name, changes in pairs:
            label = str(name)
            if changes:
                label += f"({', '.join(f'{key}={value}' for key, value in changes.items())})"
            if label == own[0]:
                yield label, copy.deepcopy(own[1])
            else:
                chosen = OmegaConf.merge(option(sources, group, str(name)), changes)
                if isinstance(chosen, DictConfig):
                    yield label, chosen


def _with_steps(labelled: Labelled, asked: Sequence[int]) -> Iterator[Labelled]:
    """Yield an option with each number of steps, or once if it chooses its own steps."""
    label, node = labelled
    own = node.get("num_steps")
    for num_steps in (asked or [own]) if own is not None else [None]:
        changed = copy.deepcopy(node)
        if num_steps is not None:
            changed.num_steps = num_steps
        yield label, changed


def _combinations(
    config: DictConfig, choices: Choices, model: Formulation
) -> Iterator[dict[str, Labelled]]:
    """Yield the run's own parts, then each combination of the parts that are asked for."""
    own = {group: (choices.options[group], config[group]) for group in model.asked}
    yield own
    evaluation, listed = config.evaluation, []
    for group in model.asked:
        asked = evaluation.get(f"{group}s") or []
        found = list(_options(asked, group, own[group], choices.sources))
        for key in model.inherited:  # All take the run's own value, to walk along one SDE.
            of, _, name = key.partition(".")
            for _, node in found if of == group else ():
                with open_dict(node):
                    node[name] = config[group][name]
        listed.append(found)
    first, *others = listed
    stepped = [each for one in first for each in _with_steps(one, evaluation.num_steps)]
    for chosen in product(stepped, *others):
        yield dict(zip(model.asked, chosen))


def build_ways(
    config: DictConfig, choices: Choices, model: Formulation, build: Builder
) -> list[Way]:
    """Build the ways to sample, the run's own first and none twice."""
    ways: list[Way] = []
    seen: list[Any] = []
    scope = copy.deepcopy(config)
    first = model.asked[0]
    for chosen in _combinations(config, choices, model):
        with open_dict(scope):
            for group, (_, node) in chosen.items():
                scope[group] = node
        plain = [OmegaConf.to_container(scope[group], resolve=True) for group in chosen]
        if plain in seen:
            continue
        seen.append(plain)
        parts = {group: build(scope[group], group) for group in chosen}
        labels = {group: label for group, (label, _) in chosen.items()}
        try:
            with own_code(f"{type(model).__name__}.way cannot be asked", "fix it"):
                way = model.way(Asked(parts, labels, config.evaluation.noise))
            if not isinstance(way, Way):
                raise ValueError(
                    f"{type(model).__name__}.way must give a fokker.formulation.Way, got "
                    f"{type(way).__name__}; return one"
                )
            _check_steps(way, first)
            if way.is_random and config.evaluation.noise == "quantiles":
                raise ValueError(
                    "evaluation.noise must be random with "
                    f"formulation={choices.options['formulation']}, "
                    "which draws at random, got quantiles; leave it out"
                )
            ways.append(way)
        except ValueError as error:
            if not ways or scope[first].get("num_steps") not in config.evaluation.num_steps:
                raise
            said = str(error).replace(f"{first}.num_steps", "evaluation.num_steps")
            raise ValueError(said) from error
    return ways


def _check_steps(way: Way, group: str) -> None:
    """Refuse a number of steps that is no whole number above zero."""
    number: object = way.num_steps
    if number is not None and (type(number) is not int or number < 1):
        raise ValueError(
            f"{group}.num_steps must be a whole number, at least 1, got {shown(number)}; change it"
        )


def build_evaluations(
    config: DictConfig, choices: Choices, model: Formulation, own: Way, build: Builder
) -> dict[str, Evaluation]:
    """Build and check what is evaluated besides the samples.

    Raises:
        ValueError: for an evaluation of other formulations, or one that refuses this model.
    """
    evaluations: dict[str, Evaluation] = {}
    for name, node in config.evaluation.items():
        if OmegaConf.is_dict(node):
            made: Evaluation = build(node, f"evaluation.{name}")
            kind = getattr(made, "of", Formulation)
            if not isinstance(model, kind):
                raise ValueError(
                    f"evaluation={name} is for formulations of the kind {kind.__name__}, got "
                    f"formulation={choices.options['formulation']}; leave it out"
                )
            with own_code(f"evaluation.{name} cannot be checked", "fix it, or leave it out"):
                made.check(model, own)
            evaluations[str(name)] = made
    return evaluations
