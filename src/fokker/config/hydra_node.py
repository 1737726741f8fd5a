"""Checks of the `hydra` section of a configuration, before hydra runs, writes or logs by it.

The section comes from fokker's files, the command line and files that a user names. Hydra would
build a target in it, below its sweeper, its launcher or its callbacks. Python's `logging.config`
would build its logging. Other keys set variables, change the folder or write files.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from inspect import isclass
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf

from fokker.config.mistakes import one_of
from fokker.config.option_names import check_options
from fokker.config.texts import check_final
from fokker.machine.yaml_files import read_yaml

#: Keys of the folders where runs and sweeps are written, each with an example.
PLACES = {
    "output_dir": "./outputs",
    "hydra.run.dir": "./outputs/runs/first",
    "hydra.sweep.dir": "./outputs/sweeps/first",
}
#: Hydra's own parts that have a target, and how a user chooses them.
PLUGINS = {
    "sweeper": "hydra/sweeper=fokker_grid or fokker_search",
    "launcher": "hydra/launcher=basic, joblib, submitit_local or submitit_slurm",
}
#: Fokker's sweepers check each job; hydra's own would not.
SWEEPERS = ("fokker_grid", "fokker_search")
#: Keys with the values that they may have, the words for these, and a remedy.
FIXED: Mapping[str, tuple[Sequence[Any], str, str]] = {
    "hydra.output_subdir": (
        [None], "null", "a run's folder has its configuration in config.yaml"
    ),
    "hydra.job.chdir": (
        [None, False], "null or false", "paths are seen from the folder where fokker is started"
    ),
    "hydra.job.env_copy": ([[]], "empty", "jobs have the variables of the command anyway"),
    "hydra.job.env_set": (
        [{}], "empty", "set a variable before the command: NAME=VALUE fokker ..."
    ),
    "hydra.job_logging.root": ([None], "null", "what a run says is printed, or in its output.txt"),
    "hydra.hydra_logging.root": ([None], "null", "what fokker says is printed"),
}  # fmt: skip

# Names that have a meaning for hydra in a node, such as `_target_`.
_SPECIAL = re.compile(r"_.*_")
# Keys that hydra itself sets after all others.
_OF_HYDRA = ("overrides", "runtime")


def check_hydra(config: DictConfig) -> None:
    """Refuse a `hydra` section that could run, write or change more than fokker allows.

    - Options of groups have plain names, so that none is a file outside the configuration.
    - The places in PLACES are paths of folders.
    - The launcher and the sweeper are those of the chosen files, with the keys of these files.
    - Callbacks are hydra's class `Callback` or classes derived from it, in allowed packages.
    - No other part has a target, and the keys in FIXED have the values that it lists.

    Args:
        config: the composed configuration, with its `hydra` section.
    Raises:
        ValueError: with the key, the rule, the value and a remedy.
    """
    check_options(_plain(config, "hydra.runtime.choices"))
    for key, example in PLACES.items():
        place = OmegaConf.select(config, key)
        if not isinstance(place, str) or not place.strip():
            raise ValueError(
                f"{key} must be the path of a folder, as text, got {_shown(place)}; for "
                f"instance {key}={example}"
            )
    _check_names(config)
    for part in (*PLUGINS, "callbacks"):  # Hydra builds these.
        check_final(_plain(config, f"hydra.{part}"), f"hydra.{part}")
    for part in PLUGINS:
        _check_plugin(config, part)
    for key, (values, rule, remedy) in FIXED.items():
        above, _, name = key.rpartition(".")
        node, value = OmegaConf.select(config, above), _plain(config, key)
        if not isinstance(node, DictConfig) or name not in node or value not in values:
            raise ValueError(f"{key} must be {rule}, got {_shown(value)}; {remedy}")
    verbose = _plain(config, "hydra.verbose")
    names = verbose if isinstance(verbose, list) else [verbose]
    if not all(isinstance(name, str | bool) for name in names):
        raise ValueError(
            f"hydra.verbose must be true, false or a list of names, got {_shown(verbose)}; "
            "leave it out"
        )
    _check_callbacks(config)


def check_as_typed(before: DictConfig, config: DictConfig, source: Path) -> None:
    """Refuse overrides of others that change what hydra does, what is imported or where it writes.

    Args:
        before: the configuration composed of the user's overrides only.
        config: the configuration with the overrides of others.
        source: the file that the overrides of others come from.
    Raises:
        ValueError: with the file and the key.
    """
    there, here = _decisive(config), _decisive(before)
    for key in sorted({*there, *here}):
        if there.get(key) != here.get(key):
            raise ValueError(
                f"{source} must not change {key}, which says what is run or where it is written: "
                f"it would be {_shown(there.get(key))} in place of {_shown(here.get(key))}; use "
                "another model, or take its overrides for that out of the file"
            )


def _decisive(config: DictConfig) -> dict[str, Any]:
    """Return what overrides of others must not change, by key, before variables are resolved."""
    raw: Any = OmegaConf.to_container(config)
    node = raw["hydra"]
    found = {key: raw.get(key) for key in ("allow_targets", "output_dir")}
    for name in node:
        if name not in _OF_HYDRA:
            found[f"hydra.{name}"] = node[name]
    if isinstance(node.get("job"), dict):  # `override_dirname` is made of the overrides.
        found["hydra.job"] = {k: v for k, v in node["job"].items() if k != "override_dirname"}
    choices = (node.get("runtime") or {}).get("choices") or {}
    found |= {str(group): c for group, c in choices.items() if str(group).startswith("hydra/")}
    return found


def _check_names(config: DictConfig) -> None:
    """Refuse keys that hydra does not have, and targets where hydra has none."""
    known = [*(field.name for field in fields(HydraConf)), "env"]
    raw: Any = OmegaConf.to_container(config.hydra)
    for name, node in raw.items():
        if name not in known:
            raise ValueError(f"hydra.{name} is not a key of hydra's; {one_of(str(name), known)}")
        if name not in (*PLUGINS, "callbacks", *_OF_HYDRA):
            _check_plain(node, f"hydra.{name}")


def _check_plain(node: object, key: str) -> None:
    """Refuse the names that make hydra build something."""
    for place, name, value in _special(node, key):
        raise ValueError(
            f"{place}.{name} must not be there, for nothing may be built in {key}, got "
            f"{_shown(value)}; remove it"
        )


def _special(node: object, key: str) -> Iterator[tuple[str, str, Any]]:
    """Yield the names in a value that have a meaning for hydra: place, name and value."""
    if isinstance(node, dict):
        for name, value in node.items():
            if isinstance(name, str) and _SPECIAL.fullmatch(name):
                yield key, name, value
            yield from _special(value, f"{key}.{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _special(value, f"{key}[{index}]")


def _check_plugin(config: DictConfig, part: str) -> None:
    """Refuse a sweeper or launcher that differs from the chosen file in more than plain values."""
    key, option = f"hydra.{part}", config.hydra.runtime.choices.get(f"hydra/{part}")
    node = _plain(config, key)
    if not isinstance(node, dict):
        raise ValueError(
            f"{key} must be an option with its keys, got {_shown(node)}; choose {PLUGINS[part]}"
        )
    target, keys = _file_of(part, str(option), config.hydra.runtime.config_sources)
    found = node.get("_target_")
    if found not in Plugins.instance().class_name_to_class or found != target:
        rule = f"that of hydra/{part}={option}, {target}" if target else "a plugin of hydra's"
        raise ValueError(
            f"{key}._target_ must be {rule}, got {_shown(found)}; choose {PLUGINS[part]}"
        )
    if part == "sweeper" and option not in SWEEPERS:
        raise ValueError(
            f"hydra/sweeper must be one of fokker's, got {option}; choose {PLUGINS[part]}"
        )
    for name, value in node.items():
        if name not in keys:
            known = sorted(keys - {"_target_"})
            kept = one_of(str(name), known) if known else "it has none"
            raise ValueError(f"{key}.{name} is not a key of hydra/{part}={option}; {kept}")
        _check_plain(value, f"{key}.{name}")


def _file_of(part: str, option: str, sources: Sequence[Any]) -> tuple[str | None, set[str]]:
    """Return an option's target and keys, from its file and from what the plugin registered."""
    target: str | None = None
    keys: set[str] = set()
    for source in sources:
        file = Path(source.path) / "hydra" / part / f"{option}.yaml"
        if source.schema == "file" and file.is_file():
            content: Any = OmegaConf.to_container(read_yaml(file))
            for entry in content.pop("defaults", None) or ():
                if isinstance(entry, str) and entry not in (option, "_self_"):
                    above, more = _file_of(part, entry, sources)
                    target, keys = above or target, keys | more
            target, keys = content.get("_target_", target), keys | {*map(str, content)}
            break
    known: Any = ConfigStore.instance().repo.get("hydra", {}).get(part, {})
    stored = known.get(f"{option}.yaml")
    if stored is not None:
        node: Any = OmegaConf.to_container(stored.node)
        target, keys = target or node.get("_target_"), keys | {*map(str, node)}
    return target, keys


def _check_callbacks(config: DictConfig) -> None:
    """Refuse callbacks that are not derived from hydra's `Callback`, or have targets inside."""
    callbacks = _plain(config, "hydra.callbacks") or {}
    for name, node in callbacks.items():
        key = f"hydra.callbacks.{name}"
        if not isinstance(node, dict) or "_target_" not in node:
            raise ValueError(
                f"{key} must be a node with a _target_, got {_shown(node)}; remove it: ~{key}"
            )
        _check_plain({k: v for k, v in node.items() if k != "_target_"}, key)
    if callbacks:
        from hydra.experimental.callback import Callback
        from hydra.utils import get_object

        # Imported here, for it needs torch, which would delay the start of a command.
        from fokker.config.instantiate import Builder

        Builder(["hydra", *config.allow_targets]).check(config.hydra.callbacks, "hydra.callbacks")
        for name, node in callbacks.items():
            found = get_object(node["_target_"])
            if not (isclass(found) and issubclass(found, Callback)):
                raise ValueError(
                    f"hydra.callbacks.{name}._target_ must name a class made from hydra's "
                    f"Callback, got {node['_target_']}; remove it: ~hydra.callbacks.{name}"
                )


def _plain(config: DictConfig, key: str) -> Any:
    """Return a value as plain Python, with resolved variables; None if there is no such key."""
    value = OmegaConf.select(config, key)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _shown(value: object) -> str:
    text = "null" if value is None else " ".join(str(value).split()) or "nothing"
    return text if len(text) <= 200 else f"{text[:200]}..."
