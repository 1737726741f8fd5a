"""Exact errors of several samplings, by their numbers of steps."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

CAUSES = ("truncation", "initialisation", "discretisation")


def errors_by_steps(rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[int]]:
    """Sort exact W2 errors by sampler and cause, at the numbers of steps that all of them took.

    Where they have no number in common, all numbers count, and missing errors are NaN.

    Args:
        rows: the rows of evaluations.csv, some of which have `w2`.
    """
    timed = [row for row in rows if row["num_steps"] is not None and "w2" in row]
    several = len({row["grid"] for row in timed}) > 1
    table: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in timed:
        name = f"{row['sampler']}, {row['grid']}" if several else row["sampler"]
        table.setdefault(name, {})[row["num_steps"]] = row
    common = set.intersection(*(set(found) for found in table.values()))
    steps = sorted(common or {n for found in table.values() for n in found})
    columns = {"total": "w2", **{cause: f"w2_{cause}" for cause in CAUSES}}
    return {
        name: {
            cause: [found[n][column] if n in found else math.nan for n in steps]
            for cause, column in columns.items()
        }
        for name, found in table.items()
    }, steps
