"""The verdict on a sweep, in a sentence: the best setting, its error, and what comes close."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from fokker.measures import OF_DATA, units_of
from fokker.sweeps.collection import count
from fokker.sweeps.digits import column
from fokker.sweeps.jobs import Row
from fokker.sweeps.outcome import Outcome
from fokker.sweeps.standings import TRIAL, Standing

#: Keys whose values are clear without the key.
_SPEAKING = ("sampler", "formulation")
_MAX_DATA = 4


@final
@dataclass(frozen=True)
class Verdict:
    """The verdict on a sweep.

    Attributes:
        outcome: the outcome of the sweep.
    """

    outcome: Outcome

    @property
    def line(self) -> str:
        """Return the line for a terminal, which may not have every sign."""
        return f"answer   {self.text().replace('±', '+-')}"

    def text(self) -> str:
        """Return the sentences: one for each data set, then what failed or is not done."""
        rows, done = self.outcome.rows, self.outcome.done
        if not done:
            return f"No {self._what} is completed, so there is no result: {self._statuses()}."
        groups = self.outcome.by_data()
        said = [self._of_data(name, own) for name, own in list(groups.items())[:_MAX_DATA]]
        if len(groups) > _MAX_DATA:
            said.append(f"{len(groups) - _MAX_DATA} more data sets are in the table.")
        if len(done) < len(rows):
            said.append(f"Not counted of {len(rows)} {self._what}s: {self._statuses()}.")
        return " ".join(said)

    # ---- of one data set ------------------------------------------------------------------

    def _of_data(self, name: str, rows: Sequence[Row]) -> str:
        if len(self.outcome.objectives) > 1 and self.outcome.is_search:
            return self._of_front(name, rows)
        metric = self.outcome.metric
        measure = self.outcome.measure(metric)
        ranked, words = self.outcome.ranked(metric, rows), measure.words
        known = [s for s in ranked if math.isfinite(s.badness)]
        if not known:
            return f"On {name}, no completed {self._what} has a finite {words}."
        trials = f", of {count(len(known), 'trial')}" if self.outcome.is_search else ""
        keys = self._varying(rows)
        best, *others = known
        shown = [(s.mean, s.error) for s in known[:2]]
        *numbers, of_data = column([*shown, (_of_data(best, metric), None)], " ± ", "")
        amount = measure.amount(numbers[0], self._units(best))
        how = f"{amount} ({'; '.join(self._how(best, ranked, of_data))})"
        if not others:
            whose = f" of {self._name(best, keys)}" if keys else ""
            return f"On {name}{trials}, the {words}{whose} is {how}."
        values = {s.mean for s in known}
        if len(values) == 1:
            which = "both" if len(known) == 2 else f"all {len(known)}"
            return f"On {name}{trials}, {which} settings have the same {words}, {how}."
        has = "have" if self.outcome.is_search and len(best.rows) > 1 else "has"
        what = f"{has} the {measure.superlative}"
        lead = f"On {name}{trials}, {self._name(best, keys)} {what}, {how}"
        return f"{lead}; {self._behind(best, others, numbers[1], keys)}.{self._luck(best, known)}"

    def _behind(
        self, best: Standing, others: Sequence[Standing], number: str, keys: Sequence[str]
    ) -> str:
        """Say which setting comes next, and how surely it is worse."""
        gaps = [other.behind(best) for other in others]
        close = [gap for gap in gaps if gap.is_within]
        second = f"{self._name(others[0], keys)}, {number}"
        if gaps[0].is_within:
            near = "within one standard error of it" if any(g.size for g in close) else "level"
            if len(close) == 1:
                return f"{second}, is {near}"
            return f"{second}, and {count(len(close) - 1, 'other setting')} are {near}"
        if gaps[0].error is None:
            return f"next is {second}; without errors it is not known how sure that is"
        times = gaps[0].size / gaps[0].error if gaps[0].error else math.inf
        told = f"{times:.2g}" if times < 100 else "more than 100"
        said = f"next is {second}, {told} standard errors of the difference behind"
        if close:
            said += f"; {count(len(close), 'other setting')} with larger errors may be as good"
        return said

    def _how(self, best: Standing, ranked: Sequence[Standing], of_data: str) -> Iterator[str]:
        """Yield what a number rests on: seeds, errors, a yardstick, and cost if that differs."""
        if best.n > 1:
            unsure = ", which two leave unsure" if best.n == 2 else ""
            yield f"mean ± standard error over {best.n} seeds{unsure}"
        else:
            yield "one seed" if best.error is None else "one seed, ± by its samples alone"
        asked = len(best.rows)
        if asked > best.n:
            lost = Counter(str(row["status"]) for row in best.rows if row["status"] != "completed")
            without = asked - best.n - lost.total()
            told = [f"{number} {status}" for status, number in lost.items()]
            told += [f"{without} without a value"] * bool(without)
            yield f"of {asked} runs {', '.join(told)}"
        if of_data:
            yield f"as many points of the data have {of_data}"
        costs = [cost for s in ranked if math.isfinite(cost := _cost(s))]
        if not best.measure.is_of_model and costs and max(costs) > min(costs):
            yield f"NFE {_cost(best):g}, settings have {min(costs):g} to {max(costs):g}"

    def _luck(self, best: Standing, known: Sequence[Standing]) -> str:
        if not self.outcome.is_search or best.n > 1 or len(known) < 3:
            return ""
        return (
            f" The best of {len(known)} by one seed each is flattered by sampling noise: "
            "run it again with several seeds."
        )

    def _of_front(self, name: str, rows: Sequence[Row]) -> str:
        """Say which trial is the best in each of several objectives."""
        said = []
        for metric in self.outcome.objectives:
            measure = self.outcome.measure(metric)
            best = self.outcome.ranked(metric, rows)[0]
            if math.isinf(best.badness):
                return f"On {name}, no completed trial has a finite {measure.words}."
            (text,) = column([(best.mean, best.error)], " ± ")
            trials = ", ".join(str(row[TRIAL]) for row in best.rows)
            said.append(f"the {measure.superlative}, {text}, is that of trial {trials}")
        return f"On {name}, of {count(len(rows), 'trial')}, {', and '.join(said)}."

    # ---- names -----------------------------------------------------------------------------

    @property
    def _what(self) -> str:
        return "trial" if self.outcome.is_search else "job"

    def _units(self, standing: Standing) -> str:
        done = next(row for row in standing.rows if row["status"] == "completed")
        return units_of(self.outcome.records[str(done["folder"])])

    def _varying(self, own: Sequence[Row]) -> list[str]:
        """Return the keys in which settings of a data set differ, even those without a result."""
        without = [row for row in self.outcome.rows if row["status"] != "completed"]
        values = {key: {str(row[key]) for row in [*own, *without]} for key in self.outcome.keys}
        return [key for key, found in values.items() if key != "data" and len(found) > 1]

    def _name(self, standing: Standing, keys: Sequence[str]) -> str:
        """Return the name of a setting for a sentence."""
        row = standing.rows[0]
        said = [f"{row[k]}" if k in _SPEAKING else f"{k}={_value(row[k])}"
                for k in keys if k not in ("setting", "num_steps")]  # fmt: skip
        named = [f"setting {row['setting']}"] if "setting" in keys else []
        steps = f"with {row['num_steps']} steps" if "num_steps" in keys else ""
        told = ", ".join([*named, *said])
        told = f"{told or 'the setting'} {steps}".strip()
        if not self.outcome.is_search:
            return told
        numbers = ", ".join(str(one[TRIAL]) for one in standing.rows)
        return f"trial{'s' * (len(standing.rows) > 1)} {numbers} ({told})"

    def _statuses(self) -> str:
        """Count the jobs that are not completed, by status."""
        lost: Mapping[str, int] = Counter(
            str(row["status"]) for row in self.outcome.rows if row["status"] != "completed"
        )
        return ", ".join(f"{number} {status}" for status, number in lost.items())


def _of_data(standing: Standing, metric: str) -> float | None:
    """Return the distance of as many points of the data, a mean over the seeds, where known."""
    found = [row.get(metric + OF_DATA) for row in standing.rows]
    known = [float(value) for value in found if isinstance(value, (int, float))]
    return sum(known) / len(known) if known else None


def _cost(standing: Standing) -> float:
    """Return the evaluations for a sample, a mean over the seeds."""
    known = [float(row["nfe"]) for row in standing.rows if row.get("nfe") is not None]
    return sum(known) / len(known) if known else math.nan


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
