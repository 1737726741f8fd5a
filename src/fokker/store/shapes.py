"""The shapes of records: the names that each has, and the kinds of their values."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from fokker.machine.files import described


@final
@dataclass(frozen=True)
class Kind:
    """A kind of values.

    Attributes:
        words: the name of the kind, as in `must be a text`.
        fits: a function that tells whether a value is of this kind.
    """

    words: str
    fits: Callable[[Any], bool]

    @property
    def or_null(self) -> "Kind":
        """Return the kind of such a value or null."""
        return Kind(f"{self.words} or null", lambda v: v is None or self.fits(v))

    @property
    def listed(self) -> "Kind":
        """Return the kind of a list of such values."""
        return Kind(
            f"a list, each {self.words}",
            lambda v: isinstance(v, list) and all(map(self.fits, v)),
        )

    @property
    def by_name(self) -> "Kind":
        """Return the kind of a mapping to such values."""
        return Kind(
            f"a mapping, each value {self.words}",
            lambda v: isinstance(v, dict) and all(map(self.fits, v.values())),
        )


def _is_number(value: object) -> bool:
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        return False
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _one_of(*words: str) -> Kind:
    return Kind(f"one of {', '.join(words)}", lambda v: v in words)


def _with(**kinds: Kind) -> Kind:
    """Return the kind of a mapping that has these names, and maybe others."""

    def fits(value: object) -> bool:
        return isinstance(value, dict) and all(
            name in value and kind.fits(value[name]) for name, kind in kinds.items()
        )

    return Kind("a mapping with " + ", ".join(f"{n}: {k.words}" for n, k in kinds.items()), fits)


TEXT = Kind("a text", lambda v: isinstance(v, str))
COUNT = Kind("a whole number from 0 on", lambda v: type(v) is int and v >= 0)
_SIZE = Kind("a whole number from 1 on", lambda v: type(v) is int and v >= 1)
NUMBER = Kind("a number", _is_number)
AMOUNT = Kind("a finite number from 0 on", lambda v: _is_number(v) and 0 <= v < math.inf)
ANYTHING = Kind("anything", lambda v: True)
_YES = Kind("true or false", lambda v: isinstance(v, bool))
_NAMED = Kind("a mapping of texts with a key", lambda v: TEXT.by_name.fits(v) and "key" in v)
_AXIS = _with(name=TEXT, symbol=TEXT, label=TEXT, quantity=TEXT, unit=TEXT, is_log=_YES)
_BEST = _one_of("lowest", "highest", "closest to 1")
_MEASURE = _with(words=TEXT, unit=TEXT, best=_BEST, is_of_model=_YES)
_PRUNER = Kind(
    "a name with its arguments",
    lambda v: isinstance(v, list) and len(v) == 2 and TEXT.fits(v[0]) and isinstance(v[1], dict),
)


@final
@dataclass(frozen=True)
class Shape:
    """The names and values of a JSON file.

    Attributes:
        kinds: the kinds of values, by name; fokker uses no other names, except where `others` is
            given.
        needed: the names that must be there.
        others: the kind of all other values.
    """

    kinds: Mapping[str, Kind] = field(default_factory=dict)
    needed: Sequence[str] = ()
    others: Kind = ANYTHING

    def why_not(self, content: Mapping[str, object]) -> str:
        """Return in words what is wrong with the content of a file; empty if nothing is."""
        for name in self.needed:
            if name not in content:
                return f"{name} is missing"
        for name, value in content.items():
            kind = self.kinds.get(name, self.others)
            if not kind.fits(value):
                return f"{name} must be {kind.words}, got {described(value)}"
        return ""


#: The kinds of the names that records of runs and of models share.
_OF_BOTH = {
    "format": COUNT,
    "parts": TEXT.listed,
    "data_groups": TEXT.listed,
    "overrides": TEXT.listed,
    "formulation": TEXT,
    "data": TEXT,
    "made_of": TEXT.by_name,
    "units": TEXT,
    "versions": TEXT.by_name,
    "seconds": AMOUNT.or_null,
    "images": COUNT.or_null,
    "images_per_second": AMOUNT.or_null,
    "parameters": COUNT,
    "continued_from": TEXT,
    "continued_at": COUNT,
}
#: The shape of what the record of a run and that of a model have in common.
OF_BOTH = Shape(_OF_BOTH)
SHAPES = {
    "run.json": Shape(
        {
            **_OF_BOTH,
            "status": _one_of(
                "running", "completed", "failed", "diverged", "interrupted", "pruned"
            ),
            "training": _one_of("trained", "continued", "found", "loaded", "exact"),
            "model": _NAMED.or_null,
            "axis": _AXIS,
            "measures": _MEASURE.by_name,
            "error": TEXT.or_null,
            "sweep": TEXT,
            "swept": TEXT.by_name,
            "slurm": _with(job=TEXT, step=TEXT, restarts=COUNT),
            "samples": TEXT,
            "group": _SIZE,
            "nfe": AMOUNT,
            "training_seconds": AMOUNT,
            "sampling_seconds": AMOUNT,
            "stopped_early": _with(step=COUNT, max_steps=COUNT),
            "files": TEXT.by_name,
        },
        needed=("status",),
    ),
    "model.json": Shape(
        {
            **_OF_BOTH,
            "status": _one_of("training", "interrupted", "diverged", "complete", "stopped early"),
            "key": TEXT,
            "step": COUNT,
            "checksums": TEXT.listed,
            "exports": TEXT.by_name,
        },
    ),
    "metrics.json": Shape(others=NUMBER.or_null),
    "jobs.json": Shape(
        {
            "search": TEXT,
            "jobs": _with(key=TEXT, swept=TEXT.by_name, overrides=TEXT.listed).listed,
        },
        needed=("jobs",),
    ),
    "trial.json": Shape(
        {
            "storage": TEXT,
            "study": TEXT,
            "number": COUNT,
            "prune_on": TEXT.or_null,
            "pruner": _PRUNER.or_null,
        },
        needed=("storage", "study", "number", "prune_on", "pruner"),
    ),
    "wandb.json": Shape({"id": TEXT.or_null}),
}
