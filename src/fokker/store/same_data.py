"""A comparison of the data of two runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from fokker.machine.nested import flat
from fokker.store.identity import TARGET, class_name, comparable_data
from fokker.store.records import WAYS_OF_READING


def what_data(config: Mapping[str, object], groups: Sequence[str], content: str) -> dict[str, Any]:
    """Return the values, by dotted keys, that are equal exactly for runs with the same data.

    The seed counts only where a set of `num_points` is drawn by it. Else it decides only the order
    of the data and which fresh points are drawn from the same law. A held-out part is the same for
    every seed.

    Args:
        config: the resolved configuration of the run.
        groups: the data's groups of the configuration.
        content: the hash of the points of a file or a dataset; empty for other data, or where it is
            not known.
    """
    found = {}
    for group, data in comparable_data(config, groups, content).items():
        ways = [*WAYS_OF_READING, *([] if data.get("num_points") else ["seed"])]
        found[group] = {key: value for key, value in data.items() if key not in ways}
    return flat(found)


def differing(
    there: Mapping[str, object], here: Mapping[str, object], by_name: bool = True
) -> list[str]:
    """Return the dotted keys of two flat configurations whose values are not the same.

    Args:
        there, here: the values by dotted keys.
        by_name: whether classes are compared only by their names, wherever they are defined.
    """

    def value(side: Mapping[str, object], key: str) -> Any:
        is_class = by_name and key.rpartition(".")[2] == TARGET
        return class_name(side.get(key)) if is_class else side.get(key)

    keys = sorted(there.keys() | here.keys())
    return [key for key in keys if value(there, key) != value(here, key)]
