"""The content of the file of an experiment or a study, as overrides."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import OmegaConf

from fokker.machine.nested import flat
from fokker.machine.yaml_files import read_yaml

_GLOBAL = re.compile(r"^#\s*@package\s+_global_\s*$", re.MULTILINE)
# A text that hydra reads as it stands, without quotes.
_PLAIN = re.compile(r"(?!(?:null|true|false|inf|nan)$)[A-Za-z_/][\w./-]*", re.IGNORECASE | re.ASCII)


def group_of(key: str) -> str:
    """Return the first part of a key or group."""
    return re.split(r"[./]", key)[0]


def is_group(sources: Sequence[Any], key: str) -> bool:
    """Tell whether a key is a group with a folder of options."""
    if re.fullmatch(r"\w+(/\w+)*", key) is None:
        return False
    return any((Path(s.path) / key).is_dir() for s in sources if s.schema == "file")


def quoted(value: str) -> str:
    """Quote a text as the value of an override, whatever characters it has."""
    return QuotedString(value, Quote.single).with_quotes()


def option_words(sources: Sequence[Any], group: str, name: str) -> list[str] | None:
    """Return what an option's file says of the whole configuration, as overrides.

    Args:
        sources: the sources of the configuration, in order.
        group: the group, such as `experiment`.
        name: the name of the option.
    Returns:
        the overrides, with `++hydra={}` in place of what the file says of hydra's node; None if
        there is no such file, or its package is not `_global_`.
    """
    for source in sources:
        file = Path(source.path) / group / f"{name}.yaml"
        if source.schema != "file" or not re.fullmatch(r"[\w+-]+", name) or not file.is_file():
            continue
        if _GLOBAL.search(file.read_text(encoding="utf-8", errors="replace")) is None:
            return None
        content: Any = OmegaConf.to_container(read_yaml(file))
        words: list[str] = []
        for entry in content.pop("defaults", []):
            if isinstance(entry, str):
                words += option_words(sources, group, entry) or ()
                continue
            for key, value in entry.items():
                chosen = str(key).split()[-1].lstrip("/")
                words.append(f"{chosen}={as_typed(value)}")
        if content.pop("hydra", None):
            words.append("++hydra={}")
        leaves = flat(content, with_empty=True)
        return [*words, *(f"++{key}={as_typed(value)}" for key, value in leaves.items())]
    return None


def as_typed(value: object) -> str:
    """Write a plain value in hydra's grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else quoted(value)
    if isinstance(value, list):
        return f"[{','.join(map(as_typed, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{as_typed(sub)}' for key, sub in value.items())}}}"
    return str(value)
