"""Whole numbers in the overrides of a sweep: `1e4` and `10000` must be the same job."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fokker.config.arguments import fits
from fokker.config.choices import options_with
from fokker.config.keys import KEYS
from fokker.config.signatures import Signatures
from fokker.overrides import read as read_override

# A number with a dot or an exponent, and not a part of a word.
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d*(?:[eE][+-]?\d+)?|[eE][+-]?\d+)(?![\w.])")


def in_whole_numbers(
    overrides: Sequence[str], config: DictConfig, sources: Sequence[object], read: Signatures
) -> list[str]:
    """Write `1e4` as `10000` in the overrides of keys that take only whole numbers.

    Args:
        overrides: the overrides as typed, with one or several values.
        config: the configuration, composed without what is swept.
        sources: the sources where options are found.
        read: the signatures of fokker's classes.
    """
    return [_in_whole_numbers(override, config, sources, read) for override in overrides]


def _in_whole_numbers(
    override: str, config: DictConfig, sources: Sequence[object], read: Signatures
) -> str:
    word = read_override(override)
    if not word.is_set or not _NUMBER.search(str(word.value_text)):
        return override
    kinds = list(_kinds(word.name, config, sources, read))
    if not kinds or not all(map(_is_whole, kinds)):
        return override
    return f"{word.typed_key}={_NUMBER.sub(_as_whole, str(word.value_text))}"


def _as_whole(found: re.Match[str]) -> str:
    number = float(found[0])
    return str(int(number)) if number.is_integer() else found[0]


def _is_whole(kind: object) -> bool:
    """Tell whether a type takes whole numbers, or lists of them, and no other numbers."""
    return any(fits(w, kind) and not fits(n, kind) for w, n in ((1, 1.5), ([1], [1.5])))


def _kinds(
    key: str, config: DictConfig, sources: Sequence[object], read: Signatures
) -> Iterator[Any]:
    """Yield the types that a key takes: in the chosen option, else in any that has it."""
    if key in KEYS:
        yield KEYS[key][0]
        return
    parent, _, name = key.rpartition(".")
    chosen = OmegaConf.select(config, parent) if parent else None
    if isinstance(chosen, DictConfig) and name in chosen:
        yield _kind(chosen, name, read)
        return
    for place, _, node in options_with(sources, name):
        if place == parent:
            yield _kind(node, name, read)


def _kind(node: DictConfig, name: str, read: Signatures) -> Any:
    """Return the type of an argument of a node."""
    plain: Any = OmegaConf.to_container(node)
    parts = [v["_target_"] for v in plain.values() if isinstance(v, dict) and "_target_" in v]
    taken = read(str(plain.get("_target_"))).handing_on([read(part) for part in parts])
    return taken.types.get(name, Any)
