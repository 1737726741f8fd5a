"""What is said of a model whose data are no longer what they were."""

from collections.abc import Mapping, Sequence
from typing import Any


def other_points(model: str, config: Mapping[str, Any], groups: Sequence[str]) -> str:
    """Return the sentence of a model whose data are no longer what they were.

    Args:
        model: in words.
        config: of the model.
        groups: of its data.
    """
    source = sources_of_points(config, groups)
    there = f"than {source} holds now" if source else "than its data give now"
    return (
        f"{model} was trained on other points {there}; bring those back, for samples are made and "
        "judged by the data of the training, or train another model"
    )


def sources_of_points(config: Mapping[str, Any], groups: Sequence[str]) -> str:
    """The keys that say where points come from, with their values; nothing for fokker's own."""
    found = []
    for group in groups:
        data = config.get(group) or {}
        dataset = data.get("dataset")
        if data.get("path"):
            found.append(f"{group}.path={data['path']}")
        elif isinstance(dataset, Mapping):
            found.append(f"{group}.dataset={dataset.get('_target_')}")
    return " or ".join(found)
