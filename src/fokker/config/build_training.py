"""The step from a composed configuration to what is trained."""

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
    """Build the untrained formulation with its parts, its optimizer and its averages.

    Args:
        config: the composed configuration.
        data: the data of each group.
        build: the builder of the parts.
        earlier: the model of the stage before, if this one is made from one.
    """
    build.know(config.formulation)
    # A schedule is built once its optimizer is there.
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
    with own_code("formulation cannot be built", "fix it, or choose parts and data that fit it"):
        model = make(**data, seed=config.seed, **parts)
    if not isinstance(model, Formulation):
        raise ValueError(
            f"formulation._target_ must name what gives a fokker.formulation.Formulation, got "
            f"{config.formulation._target_}, which gives {type(model).__name__}"
        )
    if Groups.of(type(model)) != said:
        name = type(model).__name__
        raise ValueError(
            "formulation._target_ must have an annotation of what it returns, got "
            f"{config.formulation._target_}, which gives {name}; write it: -> {name}"
        )
    training = Training(model, schedule, ema)
    if not model.trains:
        return training
    try:
        training.configure_optimizers()
    except ValueError as error:  # Else torch would check it only when the training starts.
        raise ValueError(_why_no_optimizer(error, config.optimizer.optimizer)) from error
    return training


def _check_there(config: DictConfig, group: str) -> None:
    """Refuse a configuration that lacks an option of a group that the training needs."""
    if config.get(group) is None:
        raise ValueError(f"{group} must be an option, and was removed; say {group}=NAME")


def groups_of(config: DictConfig, build: Builder) -> Groups:
    """Return the groups that the weights depend on, as the formulation's class says."""
    _check_there(config, "formulation")
    kind = build.gives(config.formulation, "formulation")
    return Groups.of(kind)


def _why_no_optimizer(error: ValueError, node: DictConfig) -> str:
    """Say why an optimizer is refused, with the key of the argument that torch names."""
    said = str(error)
    if said.startswith("optimizer."):
        return said
    names = [str(key) for key in node if not str(key).startswith("_")]
    known = next((f".{name}" for name in names if name.rstrip("s") in said), "")
    return f"optimizer.optimizer{known} cannot be: {said}{'' if ';' in said else '; change it'}"


