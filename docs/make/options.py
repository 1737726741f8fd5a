"""The options of the configuration's groups, as their files and classes describe them."""

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docstrings
import yaml

from fokker.config.keys import KEYS
from fokker.experiment.experiment import EvaluationPlan

CONF = Path(__file__).resolve().parents[2] / "conf"
#: The meaning of `evaluation.samplers` and the like, which a formulation's parts decide.
OF_LISTS = "further options that are evaluated: names, or `{ddim: {eta: 0.5}}`"
#: Folders of hydra's own settings, which are no groups to choose from.
NO_GROUPS = ("hydra/help", "hydra/output")


@dataclass(frozen=True)
class Key:
    """A key of an option: its dotted name, its default as YAML, and its meaning."""

    name: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Option:
    """An option of a group.

    Attributes:
        name: the name that is typed.
        target: the dotted name of its class; empty for a file of overrides.
        about: the comments at the head of its file.
        docstring: the docstring of its class.
        keys: its keys.
        choices: the options that it sets in other groups, as they are typed.
        text: the rest of its file, where it has no class.
    """

    name: str
    target: str
    about: str
    docstring: docstrings.Docstring
    keys: list[Key]
    choices: list[str]
    text: str


def groups() -> list[str]:
    """Return the names of all groups, in alphabetical order."""
    files = [*CONF.glob("*/*.yaml"), *CONF.glob("hydra/*/*.yaml")]
    folders = {file.parent.relative_to(CONF).as_posix() for file in files}
    return sorted(folders - {*NO_GROUPS})


def options(group: str) -> list[Option]:
    """Return the options of a group, in alphabetical order."""
    return [_option(group, file) for file in sorted((CONF / group).glob("*.yaml"))]


def defaults() -> dict[str, str]:
    """Return the option of each group that a command has if it chooses none."""
    listed = yaml.safe_load((CONF / "config.yaml").read_text())["defaults"]
    pairs = [pair for entry in listed if isinstance(entry, dict) for pair in entry.items()]
    return {key.removeprefix("override "): str(value) for key, value in pairs if value}


def root_keys() -> list[Key]:
    """Return the keys of conf/config.yaml that belong to no group."""
    text = (CONF / "config.yaml").read_text()
    content, meanings = yaml.safe_load(text), _comments(text)
    del content["defaults"], content["hydra"]
    plan = docstrings.read(EvaluationPlan).args
    meanings |= {f"evaluation.{name}": meaning for name, meaning in plan.items()}
    keys = [(name, value, meanings.get(name, "")) for name, value in _flat(content)]
    return [
        Key(name, _plain(value), meaning or KEYS.get(name, ("", OF_LISTS))[1])
        for name, value, meaning in keys
    ]


def _option(group: str, file: Path) -> Option:
    text = file.read_text()
    content: dict[str, Any] = yaml.safe_load(text) or {}
    choices = [word for entry in content.pop("defaults", []) for word in _choices(entry)]
    place, node = group, content
    for key in (group, file.stem):  # A formulation stands at the root, a logger below its name.
        if "_target_" in content:  # Then a part of that name is an argument, as in optimizer.
            break
        if isinstance(content.get(key), dict) and "_target_" in content[key]:
            place, node = (group if key == group else f"{group}.{key}"), content[key]
    target = str(node.get("_target_", ""))
    if not target and choices and "override" not in text:  # It builds on another option.
        target = _target_of(group, choices)
    docstring = docstrings.read(_found(target)) if target else docstrings.Docstring("")
    comments = _comments(text)
    keys, inner = [], _inner(node)
    for name, value in _flat({k: v for k, v in node.items() if not k.startswith("_")}):
        meaning = comments.get(name) or comments.get(name.rpartition(".")[2], "")
        meaning = meaning or docstring.args.get(name.partition(".")[0], "")
        meaning = meaning or inner.get(name, "")
        keys.append(Key(f"{place.replace('/', '.')}.{name}", _plain(value), meaning))
    head = re.match(r"(?:# @package _global_\n)?((?:#.*\n)*)", text)
    about = " ".join(re.findall(r"^# ?(.*)$", head[1], re.M)) if head else ""
    rest = re.sub(r"^#.*\n", "", text, flags=re.M).strip()
    return Option(file.stem, target, about, docstring, keys, choices, "" if target else rest)


def _inner(node: dict[str, Any]) -> dict[str, str]:
    """Return the meanings of the arguments of parts inside a node, which its own keys may set."""
    parts = [part for part in node.values() if isinstance(part, dict) and "_target_" in part]
    read = [docstrings.read(_found(part["_target_"])).args for part in parts]
    return {name: meaning for args in read for name, meaning in args.items()}


def _target_of(group: str, choices: list[str]) -> str:
    """Return the class of the option that another one begins with."""
    file = CONF / group / f"{choices[0].partition('=')[2]}.yaml"
    content = yaml.safe_load(file.read_text()) if file.exists() else None
    return str((content or {}).get("_target_", ""))


def _choices(entry: object) -> Iterator[str]:
    if isinstance(entry, dict):
        for key, value in entry.items():
            yield f"{key.removeprefix('override ').lstrip('/')}={value}"


def _found(target: str) -> object:
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _flat(node: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the keys below a node with their values; a part without keys counts as one value."""
    for key, value in node.items():
        if isinstance(value, dict) and {*value} - {"_target_", "_partial_"} and not above:
            yield from _flat({k: v for k, v in value.items() if k != "_partial_"}, f"{key}.")
        else:
            yield f"{above}{key}", value


def _plain(value: object) -> str:
    """Return a value as it is typed."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return text.removesuffix("...").strip()


def _comments(text: str) -> dict[str, str]:
    """Return the comment behind each key, with its further lines."""
    found: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        said = re.match(r"\s*([\w.]+):.*?\s#\s?(.*)$", line)
        further = re.match(r"\s{8,}#\s?(.*)$", line)
        if said:
            key = said[1]
            found[key] = said[2].strip()
        elif further and key:
            found[key] += f" {further[1].strip()}"
        else:
            key = ""
    return found
