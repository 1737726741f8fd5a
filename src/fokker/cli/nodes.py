"""The nodes of a configuration that describe objects, found without making any."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from fokker.cli.arguments import Signature, check_arguments, shown, whole


@final
@dataclass(frozen=True)
class Node:
    """A node with a `_target_`: where it stands, what it gives, and where each value was set."""

    key: str
    plain: dict[str, Any]
    keys: dict[str, str]

    @property
    def target(self) -> str:
        return shown(self.plain["_target_"])

    @property
    def arguments(self) -> dict[str, Any]:
        """All that is not for hydra."""
        return {k: v for k, v in self.plain.items() if not (k.startswith("_") and k.endswith("_"))}

    @property
    def parts(self) -> list[str]:
        """Targets that are handed on uncalled."""
        inside = (value for value in self.plain.values() if isinstance(value, dict))
        handed_on = (node for node in inside if "_target_" in node and node.get("_partial_"))
        return [str(node["_target_"]) for node in handed_on]


def nodes(plain: Any, raw: Any, key: str) -> Iterator[Node]:
    """A node and all that are inside it.

    Args:
        plain: resolved.
        raw: the same before it was resolved: a value `${sde}` was set at `sde`.
        key: where it stands.
    """
    if isinstance(plain, dict):
        named = raw if isinstance(raw, dict) else {}
        keys = {name: _place(named.get(name), f"{key}.{name}") for name in plain}
        if "_target_" in plain:
            yield Node(key, plain, keys)
        for name, value in plain.items():
            yield from nodes(value, named.get(name), keys[name])
    elif isinstance(plain, list):
        listed = raw if isinstance(raw, list) else [None] * len(plain)
        for index, (value, before) in enumerate(zip(plain, listed)):
            yield from nodes(value, before, _place(before, f"{key}[{index}]"))


def _place(raw: Any, key: str) -> str:
    """Where a value was set: elsewhere for `${elsewhere}`."""
    is_link = isinstance(raw, str) and raw.startswith("${") and raw.endswith("}")
    return raw[2:-1] if is_link and raw[2:-1].replace(".", "").isidentifier() else key


def check_nodes(found: Sequence[Node], known: Mapping[str, Signature]) -> dict[str, Any]:
    """Check the arguments of nodes, with whole numbers in place of such as 1e4.

    Args:
        found: nodes, whose `plain` values are changed.
        known: what each of their targets takes.
    Returns:
        the whole numbers, by the key where each was set.
    Raises:
        ValueError: for a name that is not taken, or a value of another type.
    """
    changes: dict[str, Any] = {}
    for node in found:
        taken = known[node.target].handing_on([known[part] for part in node.parts])
        for name, value in node.arguments.items():
            number = whole(value, taken.types.get(name, Any))
            if number is not value:
                node.plain[name] = changes[node.keys[name]] = number
        check_arguments(taken, node.arguments, node.keys)
    return changes
