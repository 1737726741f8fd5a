"""What a trained model is: a hash of everything that its weights depend on."""

import hashlib
import inspect
import json
import platform
from collections.abc import Mapping
from typing import Any

import lightning
import torch

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


def training_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a resolved configuration that the weights depend on."""
    groups = {
        group: {k: v for k, v in config[group].items() if k not in PLACES.get(group, ())}
        for group in TRAINED_FROM
    }
    steps = {key: config["trainer"][key] for key in ("max_steps", "precision")}
    return {**groups, "trainer": steps, "seed": config["seed"]}


def source_of(classes: list[type]) -> str:
    """A hash of the source of classes that are not fokker's, torch's or lightning's own."""
    own = {"fokker", "torch", "lightning", "torchmetrics"}
    sources = [inspect.getsource(c) for c in classes if c.__module__.split(".")[0] not in own]
    return hashlib.sha256("\n".join(sources).encode()).hexdigest() if sources else ""


def model_key(training: Mapping[str, Any], content: str, source: str, init: str) -> str:
    """Eight hexadecimal digits.

    Args:
        training: from `training_config`.
        content: hash of the content of data files.
        source: hash of the source of a user's own classes.
        init: hash of the weights that the training starts from, if it does not start anew.
    """
    whole = {
        "training": training,
        "content": content,
        "source": source,
        "init": init,
        "version": TRAINING_VERSION,
    }
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
