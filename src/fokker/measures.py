"""The measures of a run: for each number its words, its unit, and its best value.

Nothing here imports torch, so tables are written without waiting for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, final, get_args

Best = Literal["lowest", "highest", "closest to 1"]

#: The suffix that turns the name of a number into that of its standard error.
ERROR = "_standard_error"
#: The suffix that turns the name of a metric into that of its value for points of the data.
OF_DATA = "_data"
#: The unit of a distance: it stands for the units of the data.
UNITS = "{units}"
OWN_LOSS = "the formulation's own loss"


@final
@dataclass(frozen=True)
class Measure:
    """The description of a number of a run.

    Attributes:
        words: the words for it within a sentence.
        unit: its unit; `{units}` stands for the units of the data.
        best: its best value.
        is_of_model: whether it is the same whatever samples are drawn.
    """

    words: str
    unit: str = ""
    best: Best = "lowest"
    is_of_model: bool = False

    def badness(self, value: float) -> float:
        """Return a number that is best when lowest: the value, its negative, or |value - 1|."""
        return abs(value - 1) if self.best == "closest to 1" else self.slope(value) * value

    def slope(self, value: float) -> float:
        """Return d badness / d value: 1, or -1 where more is better."""
        if self.best == "closest to 1":
            return 1.0 if value >= 1 else -1.0
        return -1.0 if self.best == "highest" else 1.0

    def label(self, units: str) -> str:
        """Return the words with the unit, for an axis or the head of a column."""
        unit = self.unit.replace(UNITS, units)
        return f"{self.words} ({unit})" if unit else self.words

    def amount(self, number: str, units: str) -> str:
        """Return a number for a sentence, with its unit if that is the unit of the data."""
        return f"{number} {units}" if self.unit == UNITS else number

    @property
    def superlative(self) -> str:
        """Return its best value in words: `lowest W1`, `ratio closest to 1`."""
        best = (self.words, self.best) if self.best == "closest to 1" else (self.best, self.words)
        return " ".join(best)

    @property
    def arrow(self) -> str:
        """Return the direction of better values as a sign."""
        return {"lowest": "↓", "highest": "↑", "closest to 1": "→ 1"}[self.best]

    @property
    def better(self) -> str:
        """Return the direction of better values in words."""
        return {
            "lowest": "lower is better",
            "highest": "higher is better",
            "closest to 1": "1 is best",
        }[self.best]


#: The measures that the platform itself gives, whatever the data and the formulation are.
_OF_PLATFORM = {
    "num_steps": Measure("number of steps"),
    "nfe": Measure("number of function evaluations", "a sample"),
    "held_out_loss": Measure("loss on held-out data", OWN_LOSS, is_of_model=True),
    "loss": Measure("loss", OWN_LOSS, is_of_model=True),
    "floor": Measure("floor of the loss", OWN_LOSS, is_of_model=True),
    "excess": Measure("excess over the floor", OWN_LOSS, is_of_model=True),
    "relative_excess": Measure("excess over the floor", "share of the floor", is_of_model=True),
    "seconds": Measure("time", "seconds"),
}


def measure_of(
    name: str, best: Best | None = None, said: Mapping[str, object] | None = None
) -> Measure:
    """Return the measure of a column of results.csv.

    Args:
        name: the name as in metrics.json; if nothing describes it, the words are those of the name
            and lower is better.
        best: the direction that a search was told, if any.
        said: the descriptions in a run's record, from `facts_of_measures`.
    """
    known = _OF_PLATFORM.get(name, Measure(name.replace("_", " ")))
    known = _read((said or {}).get(name)) or known
    return known if best is None else replace(known, best=best)


def _read(stored: Any) -> Measure | None:
    """Return a measure from a record; None if the record has none that can be read."""
    try:
        measure = Measure(**stored)
    except TypeError:
        return None
    texts = (measure.words, measure.unit, measure.best)
    is_read = all(isinstance(text, str) for text in texts) and measure.best in get_args(Best)
    return measure if is_read else None


def facts_of_measures(measures: Mapping[str, Measure]) -> dict[str, dict[str, Any]]:
    """Return the measures that a record must describe: those not known here, or different."""
    return {
        name: asdict(measure)
        for name, measure in measures.items()
        if measure != _OF_PLATFORM.get(name)
    }


def units_of(record: Mapping[str, object]) -> str:
    """Return the units of the distances of a run, from its record."""
    return str(record.get("units", "data units"))


def common_units(records: Sequence[Mapping[str, object]]) -> str:
    """Return the units of several runs, for one figure or table of them all."""
    found = set(map(units_of, records))
    return found.pop() if len(found) == 1 else "each run's own units"
