"""From a composed configuration to what is trained."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fokker.config.instantiate import Builder, uncalled
from fokker.data import DataModule
from fokker.experiment.needs import check_network
from fokker.formulation import Formulation
from fokker.machine.own_code import own_code
from fokker.store.identity import Groups
from fokker.training import Training


def build_training(
    config: DictConfig,
    data: Mapping[str, DataModule],
    build: Builder,
    earlier: Formulation | None = None,
) -> Training:
    """The formulation with its parts, untrained, with its optimiser and averages.

    Args:
        config: composed.
        data: of each group of the data.
        build: builds the parts.
        earlier: the model that this one is made from, if it is made from one.
    """
    build.know(config.formulation)
    # A schedule is made where there is an optimiser.
    later = {k: uncalled(v) for k, v in config.optimizer.items() if k == "schedule"}
    changes: dict[str, dict[str, Any]] = {"optimizer": later}
    said = groups_of(config, build)
    groups = [group for group in said.all if group not in said.data]
    for group in groups:
        _check_there(config, group)
    build.check_all((group, config[group]) for group in groups)
    parts = {
        group: build(config[group], group, **changes.get(group, {}))
        for group in groups
        if group != "formulation"
    }
    schedule, ema = parts.pop("optimizer"), parts.pop("ema")
    make = build(config.formulation, "formulation", _partial_=True)
    if getattr(parts.get("network"), "has_weights", "network" in parts):
        node: Any = OmegaConf.to_container(config.network, resolve=True)
        copies = 1 + len(ema.half_lives)
        parts["network"] = partial(check_network, parts["network"], node, copies)
    if earlier is not None:
        parts["earlier"] = earlier
    with own_code("formulation cannot be built", "mend it, or choose parts and data that fit it"):
        model = make(**data, seed=config.seed, **parts)
    if not isinstance(model, Formulation):
        raise ValueError(
            f"formulation._target_ must name what gives a fokker.formulation.Formulation, got "
            f"{config.formulation._target_}, which gives {type(model).__name__}"
        )
    if Groups.of(type(model)) != said:
        name = type(model).__name__
        raise ValueError(
            f"formulation._target_ must say what it gives, got {config.formulation._target_}, "
            f"which gives {name}; let its annotation say so: -> {name}"
        )
    training = Training(model, schedule, ema)
    if not model.trains:
        return training
    try:
        training.configure_optimizers()
    except ValueError as error:  # Torch's own checks, which come at the start of the training.
        raise ValueError(_why_no_optimizer(error, config.optimizer.optimizer)) from error
    return training


def _check_there(config: DictConfig, group: str) -> None:
    """Refuse a configuration without an option of a group that the training is built from."""
    if config.get(group) is None:
        raise ValueError(f"{group} must be an option, and is taken away; say {group}=NAME")


def groups_of(config: DictConfig, build: Builder) -> Groups:
    """The groups that the class of the formulation says its weights depend on."""
    _check_there(config, "formulation")
    kind = build.gives(config.formulation, "formulation")
    return Groups.of(kind)


def _why_no_optimizer(error: ValueError, node: DictConfig) -> str:
    """What is refused of an optimiser, with the key of the argument that torch speaks of."""
    said = str(error)
    if said.startswith("optimizer."):
        return said
    names = [str(key) for key in node if not str(key).startswith("_")]
    known = next((f".{name}" for name in names if name.rstrip("s") in said), "")
    return f"optimizer.optimizer{known} cannot be: {said}{'' if ';' in said else '; change it'}"


