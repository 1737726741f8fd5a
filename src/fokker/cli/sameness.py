"""Parts of resolved configurations in a form in which two of them compare."""

from collections.abc import Mapping, Sequence
from typing import Any

from fokker.experiment.identity import TARGET, class_name, comparable_data


def what_data(config: Mapping[str, Any], groups: Sequence[str], content: str) -> dict[str, Any]:
    """What says whether two runs have the same data, by dotted keys.

    Args:
        config: resolved.
        groups: of the data.
        content: hash of the points, if it is known.
    """
    found = {}
    for group, data in comparable_data(config, groups, content).items():
        # The seed of fresh points, or of an order, changes no floor; that of a drawn set does.
        seed = () if data.get("num_points") else ("seed",)
        ways = ("batch_size", "workers", "in_memory", *seed)
        found[group] = {key: value for key, value in data.items() if key not in ways}
    return flat(found)


def differing(
    there: Mapping[str, Any], here: Mapping[str, Any], by_name: bool = True
) -> list[str]:
    """The dotted keys of two flat configurations whose values are not the same.

    Args:
        there, here: from `flat`.
        by_name: whether a class is known by its name alone, wherever it is defined.
    """

    def value(side: Mapping[str, Any], key: str) -> Any:
        is_class = by_name and key.rpartition(".")[2] == TARGET
        return class_name(side.get(key)) if is_class else side.get(key)

    keys = sorted(there.keys() | here.keys())
    return [key for key in keys if value(there, key) != value(here, key)]


def flat(node: Any, key: str = "") -> dict[str, Any]:
    """A nested configuration as dotted keys."""
    if not isinstance(node, dict):
        return {key: node}
    leaves: dict[str, Any] = {}
    for name, sub in node.items():
        leaves.update(flat(sub, f"{key}.{name}".strip(".")))
    return leaves


def other_points(model: str, data: Mapping[str, Any]) -> str:
    """Return the sentence of a model whose data are no longer what they were."""
    source = source_of_points(data)
    there = f"than {source} holds now" if source else "than its data give now"
    return (
        f"{model} was trained on other points {there}; bring those back, for samples are made and "
        "judged by the data of the training, or train another model"
    )


def source_of_points(data: Mapping[str, Any]) -> str:
    """The key that says where points come from, and its value; nothing for fokker's own data."""
    if data.get("path"):
        return f"data.path={data['path']}"
    dataset = data.get("dataset")
    return f"data.dataset={dataset.get('_target_')}" if isinstance(dataset, Mapping) else ""
