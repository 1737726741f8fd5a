"""The part of a configuration that a formulation's class decides: groups, kinds and values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from fokker.config.arguments import signature

#: Groups that every run has, whatever its formulation is.
OF_EVERY_RUN = (
    "data", "formulation", "network", "optimizer", "ema", "trainer", "logger", "callbacks",
    "evaluation", "metrics",
)  # fmt: skip
#: Those of them that hold any number of parts by name, such as `logger.csv` and `logger.wandb`.
OF_NAMES = ("logger", "evaluation", "metrics")
#: The number of arguments that are given without a name, and the names of the others.
Given = tuple[int, Sequence[str]]


@final
@dataclass(frozen=True)
class Family:
    """The groups, kinds and values that a formulation's class states for its configuration.

    Attributes:
        data: the groups of the data.
        parts: the groups that the weights depend on.
        asked: the groups that a way to sample is made of.
        inherited: the values of keys that are not given.
        gives: the arguments that a part is given by name when it is made, by group.
        kinds: the kinds of what the formulation's own groups give.
        is_known: whether the class was read; if not, a part may get later what it needs.
    """

    data: Sequence[str] = ("data",)
    parts: Sequence[str] = ()
    asked: Sequence[str] = ()
    inherited: Mapping[str, str] = field(default_factory=dict)
    gives: Mapping[str, Sequence[str]] = field(default_factory=dict)
    kinds: Mapping[str, Any] = field(default_factory=dict)
    is_known: bool = True

    @property
    def groups(self) -> list[str]:
        """Return all groups of the configuration."""
        return list(dict.fromkeys((*self.needed, *self.kinds)))

    @property
    def needed(self) -> list[str]:
        """Return the groups that must be in the configuration."""
        return list(dict.fromkeys((*OF_EVERY_RUN, *self.data, *self.parts, *self.asked)))

    @property
    def given(self) -> dict[str, Given]:
        """Return the arguments that fokker gives to what it calls itself, by key."""
        parts = (part for part in self.parts if part != "formulation")
        return {
            "formulation": (0, (*self.data, "seed", *parts)),
            "optimizer.optimizer": (1, ("lr",)),
            **{group: (0, tuple(names)) for group, names in self.gives.items()},
        }

    @property
    def lists(self) -> list[str]:
        """Return the keys that list options of the groups in `asked`."""
        return [f"evaluation.{group}s" for group in self.asked]


def family_of(formulation: object) -> Family:
    """Return the family of an imported class; the default one for any other object."""
    kinds = getattr(formulation, "groups", None)
    return Family(
        tuple(getattr(formulation, "data_groups", ("data",))),
        tuple(getattr(formulation, "parts", ())),
        tuple(getattr(formulation, "asked", ())),
        dict(getattr(formulation, "inherited", {})),
        dict(getattr(formulation, "given", {})),
        {} if kinds is None else signature(kinds).types,
    )
