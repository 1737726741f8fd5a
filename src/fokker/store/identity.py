"""The identity of a trained model: a hash of everything that its weights depend on."""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import lightning
import torch
from omegaconf import DictConfig

from fokker import __version__
from fokker.formulation import Formulation

#: The version of the training. It is raised when the same configuration would give other weights;
#: a test compares with a stored digest.
TRAINING_VERSION = 2

#: The groups of every training, whatever its formulation is.
OF_ANY = ("optimizer", "ema")
#: Single keys of every training.
KEYS = ("trainer.max_steps", "trainer.precision", "seed")
# The keys of how data are read, which say nothing about what the data are.
PLACES = ("in_memory", "workers")
# The keys of where fokker's own data lie: their content is hashed instead, in their layout's shape.
OWN_PLACES = ("path", "key", "dataset", "layout")
TARGET = "_target_"


@final
@dataclass(frozen=True)
class Groups:
    """The groups of the configuration that a training is built from, as its formulation says.

    Attributes:
        parts: the groups that the weights depend on, besides those of the data and OF_ANY.
        data: the groups of the data, which are identified by their content.
    """

    parts: tuple[str, ...]
    data: tuple[str, ...]

    @classmethod
    def of(cls, formulation: type[Formulation]) -> "Groups":
        """Return the groups of a class of formulations."""
        return cls(tuple(formulation.parts), tuple(formulation.data_groups))

    @staticmethod
    def of_data(record: Mapping[str, Any]) -> list[str]:
        """Return the data's groups of a run; those of any formulation if its record has none."""
        return list(record.get("data_groups", Formulation.data_groups))

    @classmethod
    def recorded(cls, record: Mapping[str, Any]) -> "Groups":
        """Return the groups in the record of a run or a model, so that nothing has to be built."""
        return cls(tuple(record["parts"]), tuple(record["data_groups"]))

    @property
    def facts(self) -> dict[str, list[str]]:
        """Return the entries for records."""
        return {"parts": list(self.parts), "data_groups": list(self.data)}

    @property
    def all(self) -> tuple[str, ...]:
        """Return the groups of the data, those of the formulation, and those of every training."""
        return (*self.data, *self.parts, *OF_ANY)


def training_config(config: Mapping[str, Any], groups: Groups) -> dict[str, Any]:
    """Return the part of a resolved configuration that the weights depend on."""
    kept = {group: dict(config[group]) for group in groups.all}
    for group in groups.data:
        places = (*PLACES, *(OWN_PLACES if _is_own(kept[group]) else ()))
        kept[group] = {key: v for key, v in kept[group].items() if key not in places}
    steps = {key: config["trainer"][key] for key in ("max_steps", "precision")}
    return {**kept, **extra_callbacks(config), "trainer": steps, "seed": config["seed"]}


def extra_callbacks(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that adds callbacks, which may change the weights."""
    extra = config.get("callbacks", {}).get("extra")
    return {"callbacks": {"extra": extra}} if extra else {}


def comparable_data(
    config: Mapping[str, Any], groups: Sequence[str], content: str
) -> dict[str, dict[str, Any]]:
    """Return the data's groups of a resolved configuration, with the keys that compare data.

    Args:
        config: the whole configuration.
        groups: the names of the data's groups.
        content: the hash of the points of a file or a dataset, which replaces their place; empty
            for other data, or where it is not known.
    """
    found = {}
    for group in groups:
        kept = {key: v for key, v in (config.get(group) or {}).items() if v is not None}
        if content:
            # With several groups it is not known which one the content belongs to.
            is_hashed = len(groups) == 1 or _is_own(kept)
            places = (*PLACES, *(OWN_PLACES if is_hashed else ()))
            kept = {key: v for key, v in kept.items() if key not in places}
            kept["content"] = content
        found[group] = kept
    return found


def _is_own(data: Mapping[str, object]) -> bool:
    """Tell whether the class of data is one of fokker's."""
    return str(data.get(TARGET)).startswith("fokker.")


def recorded_standardize(config: DictConfig) -> str | None:
    """Return `standardize` as recorded; none if points are from neither a file nor a dataset."""
    data = config.get("data")
    if data is None or "standardize" not in data:
        return None
    is_given = data.get("path") is not None or data.get("dataset") is not None
    return str(data.standardize).lower() if is_given else None


def class_name(target: object) -> Any:
    """Return the last part of a target: a class is the same wherever it is defined."""
    return target.rpartition(".")[2] if isinstance(target, str) else target


def by_name(node: object) -> Any:
    """Return a configuration with only the names of classes as targets, at every depth."""
    if isinstance(node, Mapping):
        return {k: class_name(v) if k == TARGET else by_name(v) for k, v in node.items()}
    return [by_name(value) for value in node] if isinstance(node, (list, tuple)) else node


def model_key(
    training: Mapping[str, object],
    content: str,
    source: str,
    init: str,
    continued: str,
    earlier: str = "",
) -> str:
    """Return the key of a model: ten hexadecimal digits.

    Args:
        training: the result of `training_config`; only the names of its classes count.
        content: the hash of the content of data files.
        source: the hash of the source of a user's own classes.
        init: the hash of the weights that the training starts from, if it does not start anew.
        continued: the name and hash of the model that it goes on from, if there is one.
        earlier: the name of the model of the stage before, if it is made from one.
    """
    whole = {
        "training": by_name(training),
        "content": content,
        "source": source,
        "init": init,
        "continued": continued,
        "version": TRAINING_VERSION,
    }
    if earlier:  # The keys of models that are made from no other do not depend on this entry.
        whole["earlier"] = earlier
    text = json.dumps(whole, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def versions() -> dict[str, str]:
    """Return the versions of the software that a run is made with."""
    return {
        "fokker": __version__,
        "training": str(TRAINING_VERSION),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
    }
