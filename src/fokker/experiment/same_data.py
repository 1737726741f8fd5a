"""Whether two runs have the same data."""

from collections.abc import Mapping
from typing import Any

from fokker.experiment.identity import comparable_data
from fokker.records import WAYS_OF_READING


def what_data(data: Mapping[str, Any], content: str) -> dict[str, Any]:
    """What is equal for two runs that have the same data, and for them alone.

    The seed is of the order of the data, and of fresh points of one law; a part that is held out is
    the same for every seed. It decides where a set of `num_points` is drawn by it.

    Args:
        data: this part of a resolved configuration.
        content: hash of the points of a file or a dataset; empty for other data, or where it is not
            known.
    """
    ways = [*WAYS_OF_READING, *([] if data.get("num_points") else ["seed"])]
    return {k: v for k, v in comparable_data(data, content).items() if k not in ways}
