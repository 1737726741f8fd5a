"""What a trained model is: a hash of everything that its weights depend on."""

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

#: Raised when the same configuration would give other weights; a test holds a stored digest.
TRAINING_VERSION = 2

#: The groups of every training, whatever its formulation is.
OF_ANY = ("optimizer", "ema")
#: Single keys of every training.
KEYS = ("trainer.max_steps", "trainer.precision", "seed")
# Who reads data says nothing about what they are.
PLACES = ("in_memory", "workers")
# Of fokker's own data where they lie neither: what is there is hashed, in the shape of its layout.
OWN_PLACES = ("path", "key", "dataset", "layout")
TARGET = "_target_"


@final
@dataclass(frozen=True)
class Groups:
    """The groups of the configuration that a training is built from, as its formulation says.

    Attributes:
        parts: those that the weights depend on, besides the data's and OF_ANY.
        data: those of the data, which are known by their content.
    """

    parts: tuple[str, ...]
    data: tuple[str, ...]

    @classmethod
    def of(cls, formulation: type[Formulation]) -> "Groups":
        """Those of a class of formulations."""
        return cls(tuple(formulation.parts), tuple(formulation.data_groups))

    @staticmethod
    def of_data(record: Mapping[str, Any]) -> list[str]:
        """Those of the data of a run, also where its record does not say them."""
        return list(record.get("data_groups", Formulation.data_groups))

    @classmethod
    def recorded(cls, record: Mapping[str, Any]) -> "Groups":
        """Those that the record of a run or a model says, so that nothing has to be built."""
        return cls(tuple(record["parts"]), tuple(record["data_groups"]))

    @property
    def facts(self) -> dict[str, list[str]]:
        """What records say of them."""
        return {"parts": list(self.parts), "data_groups": list(self.data)}

    @property
    def all(self) -> tuple[str, ...]:
        """The data's, the formulation's, and those of every training."""
        return (*self.data, *self.parts, *OF_ANY)


def training_config(config: Mapping[str, Any], groups: Groups) -> dict[str, Any]:
    """The part of a resolved configuration that the weights depend on."""
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
    """The data's groups of a resolved configuration, by what says whether data are the same.

    Args:
        config: the whole.
        groups: of the data.
        content: hash of the points of a file or a dataset, which says more than where they lie;
            empty for other data, or where it is not known.
    """
    found = {}
    for group in groups:
        kept = {key: v for key, v in (config.get(group) or {}).items() if v is not None}
        if content:
            # Of several groups it is not known whose content it is.
            is_hashed = len(groups) == 1 or _is_own(kept)
            places = (*PLACES, *(OWN_PLACES if is_hashed else ()))
            kept = {key: v for key, v in kept.items() if key not in places}
            kept["content"] = content
        found[group] = kept
    return found


def _is_own(data: Mapping[str, Any]) -> bool:
    """Tell whether the class of data is one of fokker's."""
    return str(data.get(TARGET)).startswith("fokker.")


def recorded_standardize(config: DictConfig) -> str | None:
    """Return the recorded word of how points were standardised; none of data of another kind."""
    data = config.get("data")
    if data is None or "standardize" not in data:
        return None
    is_given = data.get("path") is not None or data.get("dataset") is not None
    return str(data.standardize).lower() if is_given else None


def class_name(target: Any) -> Any:
    """The last part of a target: where a class is defined says nothing of what it is."""
    return target.rpartition(".")[2] if isinstance(target, str) else target


def by_name(node: Any) -> Any:
    """A node with the names of classes alone in place of targets, at every depth."""
    if isinstance(node, Mapping):
        return {k: class_name(v) if k == TARGET else by_name(v) for k, v in node.items()}
    return [by_name(value) for value in node] if isinstance(node, (list, tuple)) else node


def model_key(
    training: Mapping[str, Any],
    content: str,
    source: str,
    init: str,
    continued: str,
    earlier: str = "",
) -> str:
    """Ten hexadecimal digits.

    Args:
        training: from `training_config`; of its classes the names alone count, and the source of
            those that are the user's own.
        content: hash of the content of data files.
        source: hash of the source of a user's own classes.
        init: hash of the weights that the training starts from, if it does not start anew.
        continued: name and hash of the model that it goes on from, if there is one.
        earlier: name of the model of the stage before, if it is made from one.
    """
    whole = {
        "training": by_name(training),
        "content": content,
        "source": source,
        "init": init,
        "continued": continued,
        "version": TRAINING_VERSION,
    }
    if earlier:  # Most models are made from no other.
        whole["earlier"] = earlier
    text = json.dumps(whole, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def versions() -> dict[str, str]:
    """Of what a run was made with."""
    return {
        "fokker": __version__,
        "training": str(TRAINING_VERSION),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
    }
