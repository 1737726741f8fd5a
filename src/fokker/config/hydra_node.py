"""Hydra's own node: what it may say, checked before hydra runs, writes or logs anything by it.

The node comes from fokker's files, the command line and files that a user names. A target in it
would be built by hydra, below its sweeper, its launcher or its callbacks; its logging would be
built by Python's `logging.config`; other keys set variables, change the folder or write files.
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

#: Where runs and sweeps are written, and for instance where.
PLACES = {
    "output_dir": "./outputs",
    "hydra.run.dir": "./outputs/runs/first",
    "hydra.sweep.dir": "./outputs/sweeps/first",
}
#: Hydra's own parts that a target names, and how one is chosen.
PLUGINS = {
    "sweeper": "hydra/sweeper=fokker_grid or fokker_search",
    "launcher": "hydra/launcher=basic, joblib, submitit_local or submitit_slurm",
}
#: Fokker's sweepers check each job; hydra's own would not.
SWEEPERS = ("fokker_grid", "fokker_search")
#: Keys with the values that they may have, how these are said, and a remedy.
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

# The names that hydra gives a meaning in a node that it builds from.
_SPECIAL = re.compile(r"_.*_")
# Written by hydra itself after all else.
_OF_HYDRA = ("overrides", "runtime")


def check_hydra(config: DictConfig) -> None:
    """Refuse what hydra's node could run, write or change by, and places that are no paths.

    - Options of groups have plain names, of which no file outside the configuration is made.
    - Launcher and sweeper are those of the files that were chosen, with the keys of these files.
    - Callbacks are hydra's class `Callback` or classes made from it, in packages that are allowed.
    - No other part has a target, and the keys in FIXED have the values there.

    Args:
        config: composed, with hydra's node.
    Raises:
        ValueError: says the key, the rule, the value and a remedy.
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
    for part in (*PLUGINS, "callbacks"):  # Of which hydra makes objects.
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
            "leave it away"
        )
    _check_callbacks(config)


def check_as_typed(before: DictConfig, config: DictConfig, source: Path) -> None:
    """Refuse a configuration whose overrides of others change what hydra does, or is imported.

    Args:
        before: composed of what the user has said alone.
        config: with the overrides of others.
        source: the file that these are from.
    Raises:
        ValueError: says the file and the key.
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
    """What overrides of others must leave as it is, by key, before variables are put in."""
    raw: Any = OmegaConf.to_container(config)
    node = raw["hydra"]
    found = {key: raw.get(key) for key in ("allow_targets", "output_dir")}
    for name in node:
        if name not in _OF_HYDRA:
            found[f"hydra.{name}"] = node[name]
    if isinstance(node.get("job"), dict):  # Names that are made of the overrides.
        found["hydra.job"] = {k: v for k, v in node["job"].items() if k != "override_dirname"}
    choices = (node.get("runtime") or {}).get("choices") or {}
    found |= {str(group): c for group, c in choices.items() if str(group).startswith("hydra/")}
    return found


def _check_names(config: DictConfig) -> None:
    """Refuse keys that hydra has not, and targets where it has none."""
    known = [*(field.name for field in fields(HydraConf)), "env"]
    raw: Any = OmegaConf.to_container(config.hydra)
    for name, node in raw.items():
        if name not in known:
            raise ValueError(f"hydra.{name} is not a key of hydra's; {one_of(str(name), known)}")
        if name not in (*PLUGINS, "callbacks", *_OF_HYDRA):
            _check_plain(node, f"hydra.{name}")


def _check_plain(node: Any, key: str) -> None:
    """Refuse the names that make hydra build something."""
    for place, name, value in _special(node, key):
        raise ValueError(
            f"{place}.{name} must not be there, for nothing may be built in {key}, got "
            f"{_shown(value)}; take it away"
        )


def _special(node: Any, key: str) -> Iterator[tuple[str, str, Any]]:
    """Names with a meaning for hydra in a node: where they stand, each with its value."""
    if isinstance(node, dict):
        for name, value in node.items():
            if isinstance(name, str) and _SPECIAL.fullmatch(name):
                yield key, name, value
            yield from _special(value, f"{key}.{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _special(value, f"{key}[{index}]")


def _check_plugin(config: DictConfig, part: str) -> None:
    """Refuse a sweeper or launcher that is not as the chosen file has it, but for plain values."""
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
    """The target in an option's file, or in the plugin's own form of that name, and their keys."""
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
    """Refuse callbacks that are no classes of hydra's `Callback`, or build something themselves."""
    callbacks = _plain(config, "hydra.callbacks") or {}
    for name, node in callbacks.items():
        key = f"hydra.callbacks.{name}"
        if not isinstance(node, dict) or "_target_" not in node:
            raise ValueError(
                f"{key} must be a node with a _target_, got {_shown(node)}; take it away: ~{key}"
            )
        _check_plain({k: v for k, v in node.items() if k != "_target_"}, key)
    if callbacks:
        from hydra.experimental.callback import Callback
        from hydra.utils import get_object

        # Kept out of the command's start: it needs torch.
        from fokker.config.instantiate import Builder

        Builder(["hydra", *config.allow_targets]).check(config.hydra.callbacks, "hydra.callbacks")
        for name, node in callbacks.items():
            found = get_object(node["_target_"])
            if not (isclass(found) and issubclass(found, Callback)):
                raise ValueError(
                    f"hydra.callbacks.{name}._target_ must name a class made from hydra's "
                    f"Callback, got {node['_target_']}; take it away: ~hydra.callbacks.{name}"
                )


def _plain(config: DictConfig, key: str) -> Any:
    """A value as plain Python, with what variables stand for; null where there is none."""
    value = OmegaConf.select(config, key)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _shown(value: Any) -> str:
    text = "null" if value is None else " ".join(str(value).split()) or "nothing"
    return text if len(text) <= 200 else f"{text[:200]}..."
