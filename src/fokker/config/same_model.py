"""The check that an existing model is the one that a configuration asks for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fokker.config.arguments import shown
from fokker.config.sameness import other_points, sources_of_points
from fokker.machine.nested import flat
from fokker.store.description import record_of
from fokker.store.identity import Groups, by_name, model_key, training_config
from fokker.store.models import ModelFolder
from fokker.store.run_files import read_config
from fokker.store.same_data import differing

_MADE_OF = {
    "content": "other points of data",
    "source": "the source of your own classes",
    "earlier": "another model of the stage before",
}


def check_alone(
    folder: ModelFolder, training: Mapping[str, object], made_of: Mapping[str, str]
) -> None:
    """Refuse a folder that holds another model with the same key.

    A configuration file that was edited in the folder gives another key, and proves nothing.
    """
    record, key = folder.record, model_key(training, **made_of)
    if not folder.config.is_file():
        return
    try:
        stored: Any = OmegaConf.to_container(read_config(folder.config))
        there, before = training_config(stored, Groups.recorded(record)), record["made_of"]
        if model_key(there, **before) != key:
            return
    except (ValueError, TypeError, KeyError, AttributeError):  # A damaged file proves nothing.
        return
    stored = {**flat(by_name(there)), **before}
    here = {**flat(by_name(training)), **made_of}
    names = [n for n in stored | here if shown(stored.get(n)) != shown(here.get(n))]
    if names:
        differing = (
            f"{n} ({shown(stored.get(n))} there, {shown(here.get(n))} here)" for n in names
        )
        raise ValueError(
            f"{folder.path} holds another model with the same key: "
            f"{', '.join(differing)}; move it away, or give another seed"
        )


def check_same_network(
    checkpoint: Path,
    config: DictConfig,
    options: Mapping[str, str],
    content: str,
    groups: Groups,
    inherited: Mapping[str, str],
) -> None:
    """Refuse a checkpoint of another network before the network asked for takes its memory."""
    record = record_of(checkpoint)
    there = by_name(record["config"].get("network"))
    here: Any = by_name(OmegaConf.to_container(config.network, resolve=True))
    is_same_class = there is not None and there.get("_target_") == here.get("_target_")
    if is_same_class and there != here:
        plain: Any = OmegaConf.to_container(config, resolve=True)
        made_of = {**record.get("made_of", {}), "content": content}
        check_same(checkpoint, "", plain, options, made_of, groups, inherited)


def check_same(
    checkpoint: Path,
    name: str,
    config: Mapping[str, object],
    options: Mapping[str, str],
    made_of: Mapping[str, str],
    groups: Groups,
    inherited: Mapping[str, str],
) -> None:
    """Refuse a checkpoint that was not trained with this configuration.

    Args:
        checkpoint: the given checkpoint.
        name: the key of the model that is asked for.
        config: the resolved configuration.
        options: the option of each group.
        made_of: the facts that the weights depend on besides the configuration.
        groups: the groups of the training.
        inherited: the formulation's values of keys that are not given.
    """
    record = record_of(checkpoint)
    if record["key"] == name:
        return
    before = record.get("made_of", made_of)
    is_changed = before["content"] not in ("", made_of["content"])
    if is_changed and sources_of_points(config, groups.data):
        raise ValueError(other_points(f"checkpoint={checkpoint}", config, groups.data))
    there = flat(training_config(record["config"], Groups.recorded(record)))
    here = flat(training_config(config, groups))
    keys = differing(there, here)
    words = [f"{key} ({shown(there.get(key))} there, {shown(here.get(key))} here)" for key in keys]
    # With another option all keys of a group differ, so the option's name is enough.
    for fact, group in (("data", groups.data[0]), ("formulation", "formulation")):
        if record.get(fact, options[group]) != options[group]:
            words = [word for word in words if not word.startswith(f"{group}.")]
            words.insert(0, f"{group} ({record[fact]} there, {options[group]} here)")
    words += [said for fact, said in _MADE_OF.items() if before.get(fact) != made_of[fact]]
    others = [
        f"{key} alone, use +{group}@{key}={options[group]}"
        for key, group in ((key, value.strip("${}")) for key, value in inherited.items())
        if any(k.startswith(f"{group}.") for k in keys) and group in options
    ]
    remedy = f" (to change {', or '.join(others)})" if others else ""
    raise ValueError(
        f"checkpoint={checkpoint} was trained with another configuration: "
        f"{', '.join(words) or 'other initial weights'}; remove these overrides, or train a "
        f"model of its own without checkpoint={remedy}"
    )
