"""The measures of a run: for each number its words, its unit, and its best value.

Nothing here imports torch, so tables are written without waiting for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, final

Best = Literal["lowest", "highest", "closest to 1"]

#: The suffix that turns the name of a number into that of its standard error.
ERROR = "_standard_error"
_UNITS = "{units}"
_OWN_LOSS = "the formulation's own loss"
_SQUARED = "standardised units²"


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
        unit = self.unit.replace(_UNITS, units)
        return f"{self.words} ({unit})" if unit else self.words

    def amount(self, number: str, units: str) -> str:
        """Return a number for a sentence, with its unit if that is the unit of the data."""
        return f"{number} {units}" if self.unit == _UNITS else number

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


_MEASURES = {
    "num_steps": Measure("number of steps"),
    "nfe": Measure("number of function evaluations", "a sample"),
    "w1": Measure("W1", _UNITS),
    "sliced_w2": Measure("sliced W2", _UNITS),
    "w2": Measure("exact W2", _UNITS),
    "w2_truncation": Measure("exact W2 of truncation", _UNITS),
    "w2_initialisation": Measure("exact W2 of initialisation", _UNITS),
    "w2_discretisation": Measure("exact W2 of discretisation", _UNITS),
    "energy_distance": Measure("energy distance", f"root of {_UNITS}"),
    "nearest_neighbour_ratio": Measure("nearest-neighbour ratio", best="closest to 1"),
    "held_out_loss": Measure("loss on held-out data", _OWN_LOSS, is_of_model=True),
    "loss": Measure("loss", _OWN_LOSS, is_of_model=True),
    "floor": Measure("floor of the loss", _OWN_LOSS, is_of_model=True),
    "excess": Measure("excess over the floor", _OWN_LOSS, is_of_model=True),
    "relative_excess": Measure("excess over the floor", "share of the floor", is_of_model=True),
    "denoising_error": Measure("denoising error", _SQUARED, is_of_model=True),
    "error_truncation": Measure("truncation error (r.m.s.)", _UNITS),
    "error_prior": Measure("error of the prior (r.m.s.)", _UNITS),
    "error_discretisation": Measure("discretisation error (r.m.s.)", _UNITS),
    "error_learning": Measure("learning error (r.m.s.)", _UNITS),
    "error_measured": Measure("measured displacement (r.m.s.)", _UNITS),
    "likelihood_nll": Measure("negative log-likelihood", "nats a sample"),
    "likelihood_negative_elbo": Measure("negative ELBO", "nats a sample"),
    "likelihood_bits_per_dim": Measure("negative log-likelihood", "bits per dimension"),
    "likelihood_pathwise_kl": Measure("pathwise KL divergence", "nats a sample"),
    "likelihood_pathwise_kl_prior": Measure("pathwise KL divergence of the prior", "nats a sample"),
    "likelihood_round_trip_rms": Measure("round-trip error (r.m.s.)", _UNITS),
    "likelihood_nfe": Measure("number of function evaluations", "of a likelihood"),
    "seconds": Measure("time", "seconds"),
}


def measure_of(
    name: str, best: Best | None = None, said: Mapping[str, Any] | None = None
) -> Measure:
    """Return the measure of a column of results.csv.

    Args:
        name: the name as in metrics.json; if it is not known here, such as a user's own, the words
            are those of the name and lower is better.
        best: the direction that a search was told, if any.
        said: the descriptions in a run's record, from `facts_of_measures`.
    """
    known = _MEASURES.get(name, Measure(name.replace("_", " ")))
    if said and name in said:
        known = Measure(**said[name])
    return known if best is None else replace(known, best=best)


def facts_of_measures(measures: Mapping[str, Measure]) -> dict[str, dict[str, Any]]:
    """Return the measures that a record must describe: those not known here, or different."""
    return {
        name: asdict(measure)
        for name, measure in measures.items()
        if measure != _MEASURES.get(name)
    }


def units_of(record: Mapping[str, Any]) -> str:
    """Return the units of the distances of a run, from its record."""
    return str(record.get("units", "data units"))


def common_units(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the units of several runs, for one figure or table of them all."""
    found = set(map(units_of, records))
    return found.pop() if len(found) == 1 else "each run's own units"
