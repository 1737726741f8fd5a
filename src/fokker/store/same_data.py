"""Whether two runs have the same data."""

from collections.abc import Mapping, Sequence
from typing import Any

from fokker.machine.nested import flat
from fokker.store.identity import TARGET, class_name, comparable_data
from fokker.store.records import WAYS_OF_READING


def what_data(config: Mapping[str, Any], groups: Sequence[str], content: str) -> dict[str, Any]:
    """What is equal for two runs that have the same data, and for them alone, by dotted keys.

    The seed is of the order of the data, and of fresh points of one law; a part that is held out is
    the same for every seed. It decides where a set of `num_points` is drawn by it.

    Args:
        config: resolved.
        groups: of the data.
        content: hash of the points of a file or a dataset; empty for other data, or where it is not
            known.
    """
    found = {}
    for group, data in comparable_data(config, groups, content).items():
        ways = [*WAYS_OF_READING, *([] if data.get("num_points") else ["seed"])]
        found[group] = {key: value for key, value in data.items() if key not in ways}
    return flat(found)


def differing(
    there: Mapping[str, Any], here: Mapping[str, Any], by_name: bool = True
) -> list[str]:
    """The dotted keys of two flat configurations whose values are not the same.

    Args:
        there, here: by dotted keys.
        by_name: whether a class is known by its name alone, wherever it is defined.
    """

    def value(side: Mapping[str, Any], key: str) -> Any:
        is_class = by_name and key.rpartition(".")[2] == TARGET
        return class_name(side.get(key)) if is_class else side.get(key)

    keys = sorted(there.keys() | here.keys())
    return [key for key in keys if value(there, key) != value(here, key)]
