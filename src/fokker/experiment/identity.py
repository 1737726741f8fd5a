"""What a trained model is: a hash of everything that its weights depend on."""

import ast
import copy
import hashlib
import inspect
import json
import linecache
import platform
from collections.abc import Mapping
from contextlib import suppress
from inspect import isfunction
from typing import Any

import lightning
import torch
from omegaconf import DictConfig

from fokker import __version__

#: Raised when the same configuration would give other weights; a test holds a stored digest.
TRAINING_VERSION = 1

#: The groups that training is built from.
TRAINED_FROM = (
    "data",
    "formulation",
    "preconditioning",
    "weighting",
    "noise_levels",
    "network",
    "optimizer",
    "ema",
)
# Where data lie and who reads them says nothing about what they are: their content is hashed.
PLACES = {"data": ("path", "key", "in_memory", "workers")}
# Of fokker's own data: what a dataset gives is hashed, with the shape that a layout makes of it.
OWN_PLACES = ("dataset", "layout")
#: Keys that came later, with the value that stands for what was before there were any.
LATER = {"optimizer": {"milestones": None}}


def training_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a resolved configuration that the weights depend on."""
    groups = {
        group: {k: v for k, v in config[group].items() if k not in PLACES.get(group, ())}
        for group in TRAINED_FROM
    }
    for group, defaults in LATER.items():
        for key, default in defaults.items():
            if groups[group].get(key, default) == default:
                groups[group].pop(key, None)
    groups["data"] = _as_of_old(groups["data"])
    if _is_own(config["data"]):
        groups["data"] = {k: v for k, v in groups["data"].items() if k not in OWN_PLACES}
    steps = {key: config["trainer"][key] for key in ("max_steps", "precision")}
    return {**groups, "trainer": steps, "seed": config["seed"]}


def comparable_data(data: Mapping[str, Any], content: str) -> dict[str, Any]:
    """The data's part of a resolved configuration, in a form that older versions' have too.

    Args:
        data: the part.
        content: hash of the points of a file or a dataset, which says more than where they lie;
            empty for other data, or where it is not known.
    """
    kept = {k: v for k, v in _as_of_old(data).items() if v is not None}
    if not content:
        return kept
    places = (*PLACES["data"], *OWN_PLACES)
    return {**{k: v for k, v in kept.items() if k not in places}, "content": content}


def _as_of_old(data: Mapping[str, Any]) -> dict[str, Any]:
    """With `standardize: all` as `true`, as it was called when there was nothing else."""
    is_old = _is_own(data) and data.get("standardize") == "all"
    return {**data, "standardize": True} if is_old else dict(data)


def _is_own(data: Mapping[str, Any]) -> bool:
    """Tell whether the class of data is one of fokker's."""
    return str(data.get("_target_")).startswith("fokker.data.")


def as_recorded(config: DictConfig) -> DictConfig:
    """A recorded configuration as what it meant then.

    In a record `data.standardize` has been resolved; where it is `true` an older version wrote it,
    to which that was `all`.
    """
    data = config.get("data") or {}
    if data.get("standardize") is True and _is_own(data):
        config = copy.deepcopy(config)
        config.data.standardize = "all"
    return config


def recorded_standardize(config: DictConfig) -> str | None:
    """Return the recorded word of how points were standardised; none where `true` says it."""
    if config.get("data") is None:
        return None
    data = as_recorded(config).data
    is_given = data.get("path") is not None or data.get("dataset") is not None
    return str(data.get("standardize")).lower() if is_given and "standardize" in data else None


def source_of(classes: list[type]) -> str:
    """A hash of the source of classes that are not fokker's, torch's or lightning's own.

    Raises:
        ValueError: if there is no source, as of a class that was typed into a shell.
    """
    own = {"fokker", "torch", "lightning", "torchmetrics"}
    sources = [_source(c) for c in classes if c.__module__.split(".")[0] not in own]
    return hashlib.sha256("\n".join(sources).encode()).hexdigest() if sources else ""


def _source(own: type) -> str:
    """The source of a class or a function; a notebook's stands in its cell."""
    with suppress(OSError, TypeError):
        return inspect.getsource(own)
    # A notebook has no file, and so no class of it one; but each function knows its cell.
    for part in vars(own).values():
        text = "".join(linecache.getlines(part.__code__.co_filename)) if isfunction(part) else ""
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and node.name == own.__name__:
                return ast.get_source_segment(text, node) or ""
    raise ValueError(
        f"the source of {own.__module__}.{own.__qualname__} must be there to tell one model from "
        "another, and is not; write the class into a file, such as my_parts.py, and name it so: "
        f"_target_: my_parts.{own.__qualname__} and allow_targets=[my_parts]"
    )


def model_key(
    training: Mapping[str, Any], content: str, source: str, init: str, continued: str = ""
) -> str:
    """Eight hexadecimal digits.

    Args:
        training: from `training_config`.
        content: hash of the content of data files.
        source: hash of the source of a user's own classes.
        init: hash of the weights that the training starts from, if it does not start anew.
        continued: name and hash of the model that it goes on from, if there is one.
    """
    whole = {
        "training": training,
        "content": content,
        "source": source,
        "init": init,
        "version": TRAINING_VERSION,
    }
    if continued:  # Not in the keys of old.
        whole["continued"] = continued
    text = json.dumps(whole, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def versions() -> dict[str, str]:
    """Of what a run was made with."""
    return {
        "fokker": __version__,
        "training": str(TRAINING_VERSION),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
    }
