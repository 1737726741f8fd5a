"""The present places of fokker's own classes, for records that name them by their former ones.

A class is found by its group and its name among the options of the group, even if it has moved to
another file. A class that no option names keeps its recorded place.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

TARGET = "_target_"
_OWN = re.compile(r"fokker(?:\.\w+)+")
_NAMED = re.compile(r"(_target_\s*:\s*[\"']?)(fokker(?:\.\w+)+)")


def config_dir() -> Path:
    """Return the folder of the configuration: in the package of a wheel, else in the repository."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parents[1] / "conf"


def as_today(node: object, groups: Sequence[str] = ()) -> Any:
    """Return a recorded part of a configuration with the targets that its classes have today.

    Args:
        node: the part of the configuration, or the whole of it.
        groups: the groups that it is in, the innermost first: `noise_levels.sde` is an SDE.
    """
    if isinstance(node, Mapping):
        return {
            key: target_today(value, groups)
            if key == TARGET
            else as_today(value, (key, *groups) if _is_group(key) else groups)
            for key, value in node.items()
        }
    return [as_today(value, groups) for value in node] if isinstance(node, list) else node


def override_as_today(override: str) -> str:
    """Return a recorded override with the targets that its classes have today."""
    key, equals, value = override.partition("=")
    parts = re.split(r"[./@]", key.lstrip("+~"))
    groups = [part for part in reversed(parts) if _is_group(part)]
    if parts[-1] == TARGET:
        value = target_today(value, groups)
    value = _NAMED.sub(lambda found: found[1] + target_today(found[2], groups), value)
    return f"{key}{equals}{value}"


def target_today(target: object, groups: Sequence[str]) -> Any:
    """Return the dotted name of a class of fokker's in the first of these groups that has it."""
    if not isinstance(target, str) or not _OWN.fullmatch(target):
        return target
    name = target.rpartition(".")[2]
    found = (_classes(group).get(name) for group in groups)
    return next(filter(None, found), target)


def _is_group(name: object) -> bool:
    return isinstance(name, str) and name.isidentifier() and (config_dir() / name).is_dir()


@cache
def _classes(group: str) -> Mapping[str, str]:
    """Return the classes that the options of a group name, by the last part of the name.

    The options are read as text, which is faster than as YAML.
    """
    found: dict[str, str] = {}
    for file in sorted((config_dir() / group).rglob("*.yaml")):
        for line in file.read_text(encoding="utf-8").splitlines():
            for _, target in _NAMED.findall(line.partition("#")[0]):
                found.setdefault(target.rpartition(".")[2], target)
    return found
