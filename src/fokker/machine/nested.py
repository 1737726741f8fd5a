"""Nested mappings by dotted keys."""

from collections.abc import Mapping
from typing import Any


def flat(node: Any, above: str = "", *, with_empty: bool = False) -> dict[str, Any]:
    """The values of a nested configuration by dotted keys; a list is a value.

    Args:
        node: mappings of mappings, and what they hold.
        above: the key of the node.
        with_empty: whether a mapping that holds nothing is a value; else it is as good as none.
    """
    if not isinstance(node, Mapping) or (with_empty and above and not node):
        return {above: node}
    found: dict[str, Any] = {}
    for name, sub in node.items():
        found |= flat(sub, f"{above}.{name}".strip("."), with_empty=with_empty)
    return found
