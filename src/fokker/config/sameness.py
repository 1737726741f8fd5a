"""What is said of a model whose data are no longer what they were."""

from collections.abc import Mapping
from typing import Any


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
