"""Nested mappings by dotted keys."""

from collections.abc import Mapping
from typing import Any


def flat(node: object, above: str = "", *, with_empty: bool = False) -> dict[str, Any]:
    """Return the values of a nested configuration by dotted keys; a list is a value.

    Args:
        node: a value, or a mapping of values and further mappings.
        above: the dotted key of `node`; empty for the whole configuration.
        with_empty: whether an empty mapping counts as a value; else it is left out.
    """
    if not isinstance(node, Mapping) or (with_empty and above and not node):
        return {above: node}
    found: dict[str, Any] = {}
    for name, sub in node.items():
        found |= flat(sub, f"{above}.{name}".strip("."), with_empty=with_empty)
    return found
