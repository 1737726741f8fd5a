"""Parts of resolved configurations in a form in which two of them compare."""

from collections.abc import Mapping
from typing import Any

from fokker.experiment.identity import comparable_data


def what_data(config: Mapping[str, Any], content: str) -> dict[str, Any]:
    """What says whether two runs have the same data."""
    data = config["data"]
    # The seed of fresh points, or of an order, changes no floor; that of a drawn set does.
    seed = () if data.get("num_points") else ("seed",)
    ways = ("batch_size", "workers", "in_memory", *seed)
    return {k: v for k, v in comparable_data(data, content).items() if k not in ways}


def flat(node: Any, key: str = "") -> dict[str, Any]:
    """A nested configuration as dotted keys."""
    if not isinstance(node, dict):
        return {key: node}
    leaves: dict[str, Any] = {}
    for name, sub in node.items():
        leaves.update(flat(sub, f"{key}.{name}".strip(".")))
    return leaves
