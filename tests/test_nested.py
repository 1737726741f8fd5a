"""Nested mappings by dotted keys."""

from typing import Any

import pytest

from fokker.machine.nested import flat


@pytest.mark.parametrize(
    ("node", "values"),
    [
        (
            {"a": {"b": {"c": 1}, "d": None}, "e": [{"f": 2}]},
            {"a.b.c": 1, "a.d": None, "e": [{"f": 2}]},
        ),
        ({"a": {"b": {}}, "c": {}}, {}),
        ({}, {}),
        ({1: {True: "x"}}, {"1.True": "x"}),
    ],
)
def test_values_by_dotted_keys(node: dict[Any, Any], values: dict[str, Any]) -> None:
    assert flat(node) == values


def test_an_empty_mapping_is_a_value_where_it_is_asked_for() -> None:
    assert flat({"a": {"b": {}}, "c": {}}, with_empty=True) == {"a.b": {}, "c": {}}
    assert flat({}, with_empty=True) == {}
