"""The keys that are no part's arguments, and what must hold of them."""

from collections.abc import Mapping
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fokker.cli.arguments import check_count, fits, shown, whole
from fokker.cli.family import Family
from fokker.cli.mistakes import UnknownKey, of_value
from fokker.memory import DOUBLE, check_fits

# Of a process that makes batches, which shares most of its memory with the training, at least.
WORKER_BYTES = 5_000_000
#: Keys for any data, which their classes do not know.
OF_ANY_DATA = ("gaussianize", "workers")
#: Of a key that lists options of a group.
OPTIONS = (
    list[str | dict[str, dict[str, Any]]], "a list of options, such as [NAME,{NAME: {KEY: VALUE}}]",
)  # fmt: skip
#: What must hold of keys that are no part's arguments, and how it is said.
KEYS: Mapping[str, tuple[Any, str]] = {
    "task": (Literal["run", "plan"], "run or plan, or in a shell doctor, models, runs or compare"),
    "checkpoint": (str | None, "a path or null"),
    "init_from": (str | None, "a path or null"),
    "continue_from": (str | None, "a path or null"),
    "retrain": (bool, "true or false"),
    "fail_fast": (bool, "true or false"),
    "objective": (str | list[str] | None, "the name of a metric, a list of them or null"),
    "allow_targets": (list[str], "a list of packages, such as [my_package]"),
    "output_dir": (str, "a path"),
    "seed": (int, "a whole number"),
    "data.gaussianize": (bool | None, "true or false"),
    "data.workers": (int | None, "a whole number or null"),
    "trainer.accelerator": (Literal["auto", "cpu", "gpu"], "auto, cpu or gpu"),
    "trainer.max_steps": (int, "a whole number"),
    "evaluation.num_samples": (int, "a whole number"),
    "evaluation.batch_size": (int | None, "a whole number or null"),
    "evaluation.num_steps": (list[int], "a list of whole numbers, such as [5,10]"),
    "evaluation.weights": (str, "text"),
    "evaluation.noise": (Literal["random", "quantiles"], "random or quantiles"),
    "evaluation.budget_points": (int | None, "a whole number or null"),
    "evaluation.beside": (list[str], "a list of the folders of finished runs"),
    "evaluation.figures": (bool, "true or false"),
}


def check_keys(config: DictConfig, family: Family, only: str = "") -> None:
    """Refuse unknown keys, and values of another type or range; 1e4 becomes a whole number.

    Args:
        config: composed; it is changed.
        family: whose groups there are.
        only: the key of which the type is looked at; empty: all keys.
    Raises:
        ValueError: says the key, the rule and the value.
    """
    _check_names(config, family)
    listed = dict.fromkeys(family.lists, OPTIONS)
    for key, (kind, rule) in {**KEYS, **listed}.items():
        if key in listed and key.split(".")[1] not in config.evaluation:
            continue
        if only and not f"{key}.".startswith(f"{only}."):
            continue
        given = value_of(config, key)
        plain = whole(given, kind)
        if plain is not given:
            OmegaConf.update(config, key, plain)
        if not fits(plain, kind):
            raise ValueError(f"{key} must be {rule}, got {shown(plain)}")
        check_count(key, plain, kind)
    for key in ("checkpoint", "init_from", "continue_from"):
        if config[key] == "":
            raise ValueError(f"{key} must be a path or null, got nothing")
        if config.continue_from is not None and key != "continue_from" and config[key] is not None:
            raise ValueError(
                f"{key} must be null with continue_from, which says where the weights come from, "
                f"got {config[key]}; take one of the two away"
            )
    points = config.evaluation.budget_points
    if points is not None and points < 0:
        raise ValueError(
            "evaluation.budget_points must be null, 0 for no error budget, or positive, got "
            f"{points}"
        )
    key = "evaluation.budget_points"
    # Their starts, where three solvers lead them, and the law's own.
    check_fits(key, points or 0, 5 * DOUBLE * (points or 0), "the error budget")
    workers = OmegaConf.select(config, "data.workers")
    if workers is not None and workers < 0:
        raise ValueError(f"data.workers must be null, 0 or positive, got {workers}")
    check_fits("data.workers", workers or 0, WORKER_BYTES * (workers or 0), "the processes")
    for key in ("evaluation.num_samples", "evaluation.batch_size", "trainer.max_steps"):
        value = OmegaConf.select(config, key)
        if value is not None and value < 1:
            raise ValueError(f"{key} must be at least 1, got {value}")
    for value in config.evaluation.num_steps:
        if value < 1:
            raise ValueError(f"evaluation.num_steps must be at least 1, got {value}")


def value_of(config: DictConfig, key: str) -> Any:
    """A value of the configuration, resolved."""
    try:
        value = OmegaConf.select(config, key, throw_on_missing=True)
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException as error:
        raise ValueError(of_value(error, key)) from error


def _check_names(config: DictConfig, family: Family) -> None:
    """Refuse unknown keys at the root and of `evaluation`."""
    known = sorted({*family.groups, "hydra", *(key for key in KEYS if "." not in key)})
    for group in family.needed:
        if config.get(group) is None:
            raise ValueError(f"{group} must be an option, and is taken away; say {group}=NAME")
    for group in family.groups:
        node = config.get(group)
        if node is not None and group != "evaluation" and not _is_node(node):
            raise ValueError(f"{group} must be a node with a _target_, got {shown(node)}")
    for key in map(str, config):
        if key not in known:
            if key in ("experiment", "sweeps"):
                raise ValueError(
                    f"{key}=NAME must name a file of overrides, whose first line is "
                    f"# @package _global_, and this one gives the key {key}; add the line"
                )
            more = ", or a key below one, such as sampler.num_steps"
            raise UnknownKey(key, "is not a key of fokker", known, more)
    if not OmegaConf.is_dict(config.evaluation):
        raise ValueError(
            "evaluation must have keys below it, such as evaluation.num_samples, got "
            f"{shown(config.evaluation)}; set these, or choose an option such as "
            "evaluation=likelihood"
        )
    names = (key for key in (*KEYS, *family.lists) if key.startswith("evaluation."))
    below = sorted(key.split(".")[1] for key in names)
    for key, node in config.evaluation.items():
        if not OmegaConf.is_dict(node) and key not in below:
            more = ", or an option such as evaluation=likelihood"
            raise UnknownKey(f"evaluation.{key}", "is not a key of fokker", below, more)
        if OmegaConf.is_dict(node) and not _is_node(node):
            raise ValueError(f"evaluation.{key} must be a node with a _target_, got {node}")


def _is_node(value: Any) -> bool:
    return isinstance(value, DictConfig) and "_target_" in value
