"""What a formulation's class says of its configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from fokker.config.arguments import signature

#: Groups that every run has, whatever it is of.
OF_EVERY_RUN = (
    "data", "formulation", "network", "optimizer", "ema", "trainer", "logger", "callbacks",
    "evaluation",
)  # fmt: skip
#: Of these, those that hold any number of parts by name, such as `logger.csv` and `logger.wandb`.
OF_NAMES = ("logger", "evaluation")
#: How much is given without a name, and what by name.
Given = tuple[int, Sequence[str]]


@final
@dataclass(frozen=True)
class Family:
    """What a formulation's class says of its configuration.

    Attributes:
        data: groups of the data.
        parts: groups that the weights depend on.
        asked: groups that a way to sample is made of.
        inherited: values of keys that are not given.
        gives: by group, what it is given by name when it is made.
        kinds: of what its own groups give.
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
        """All groups of its configuration."""
        return list(dict.fromkeys((*self.needed, *self.kinds)))

    @property
    def needed(self) -> list[str]:
        """The groups that must be there."""
        return list(dict.fromkeys((*OF_EVERY_RUN, *self.data, *self.parts, *self.asked)))

    @property
    def given(self) -> dict[str, Given]:
        """What fokker gives to what it calls itself, by key."""
        parts = (part for part in self.parts if part != "formulation")
        return {
            "formulation": (0, (*self.data, "seed", *parts)),
            "optimizer.optimizer": (1, ("lr",)),
            **{group: (0, tuple(names)) for group, names in self.gives.items()},
        }

    @property
    def lists(self) -> list[str]:
        """The keys that list options of the groups that are asked for."""
        return [f"evaluation.{group}s" for group in self.asked]


def family_of(formulation: Any) -> Family:
    """Return what an imported class says; of another thing nothing."""
    kinds = getattr(formulation, "groups", None)
    return Family(
        tuple(getattr(formulation, "data_groups", ("data",))),
        tuple(getattr(formulation, "parts", ())),
        tuple(getattr(formulation, "asked", ())),
        dict(getattr(formulation, "inherited", {})),
        dict(getattr(formulation, "given", {})),
        {} if kinds is None else signature(kinds).types,
    )
