"""The message about a model whose data are no longer what they were."""

from collections.abc import Mapping, Sequence
from typing import Any


def other_points(model: str, config: Mapping[str, object], groups: Sequence[str]) -> str:
    """Return the sentence about a model whose data are no longer what they were.

    Args:
        model: the model in words.
        config: the configuration of the model.
        groups: the groups of its data.
    """
    source = sources_of_points(config, groups)
    there = f"than {source} holds now" if source else "than its data give now"
    return (
        f"{model} was trained on other points {there}; bring those back, for samples are made and "
        "judged by the data of the training, or train another model"
    )


def sources_of_points(config: Mapping[str, Any], groups: Sequence[str]) -> str:
    """Return the keys that name the source of points, and their values; empty for fokker's own."""
    found = []
    for group in groups:
        data = config.get(group) or {}
        dataset = data.get("dataset")
        if data.get("path"):
            found.append(f"{group}.path={data['path']}")
        elif isinstance(dataset, Mapping):
            found.append(f"{group}.dataset={dataset.get('_target_')}")
    return " or ".join(found)
