r"""Main effects and two-way interactions of a factorial sweep, with standard errors.

A setting's metric is `y = m + sum_f a_f(level) + sum_{f<g} b_fg(level, level) + rest`. The effects
of a factor sum to 0 over its levels, and an interaction sums to 0 over the levels of either factor.
In a full factorial the least-squares estimates are the textbook's:

    m = mean of all settings,  a_f(l) = mean of those with level l - m,
    b_fg(l, k) = mean of those with both - m - a_f(l) - a_g(k).

Source: Box, Hunter & Hunter 2005, "Statistics for Experimenters", chapters 5 and 8.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from fokker.measures import ERROR
from fokker.sweeps.collection import SEED, beside, settings_of
from fokker.sweeps.jobs import Row
from fokker.sweeps.standings import TRIAL

#: The most settings of a factorial; nobody would look at a larger one factor by factor.
MAX_SETTINGS = 2000


@final
@dataclass(frozen=True)
class Effect:
    """The effect of a level of a factor, or of a pair of levels of two factors.

    Attributes:
        factors: one or two swept keys.
        levels: a value of each.
        value: the difference that it makes, in the metric's unit.
        error: the standard error of that difference; null if it is not known.
        factor: the ratio by which it multiplies the metric, the exponential of the effect on the
            logarithm; null where a value is not positive.
        factor_error: the standard error of that ratio, to first order.
    """

    factors: tuple[str, ...]
    levels: tuple[str, ...]
    value: float
    error: float | None
    factor: float | None
    factor_error: float | None


@final
@dataclass(frozen=True)
class Effects:
    """The effects on one metric.

    Attributes:
        effects: the main effects in the order of the factors, then the interactions; empty if
            nothing can be estimated.
        n: the number of seeds that they are means over.
        note: a text that says where the errors come from, what is missing, and what could not be
            estimated.
    """

    effects: Sequence[Effect]
    n: int
    note: str


def factors_of(rows: Sequence[Row], swept: Sequence[str]) -> dict[str, list[str]]:
    """Return the levels of each factor, in their order; nothing with fewer than two factors.

    A factor is a swept key with several values, other than the seed. A search has no factors.
    """
    if TRIAL in swept:
        return {}
    values = {key: list(dict.fromkeys(str(row[key]) for row in rows)) for key in beside(swept)}
    found = {key: levels for key, levels in values.items() if len(levels) > 1}
    return found if len(found) > 1 else {}


def effects_of(rows: Sequence[Row], swept: Sequence[str], metric: str) -> Effects:
    """Estimate the effects on a metric.

    With several seeds, each effect is estimated from each seed that all settings have, and the
    standard error is that of the mean over these, `std / sqrt(n)`. So what a seed adds to all
    settings alike is no error. With one seed it is `sqrt(sum_i w_i^2 e_i^2)` with the standard
    errors e_i of the runs, and the weights w_i of the settings in the effect.

    Where settings are missing, the effects are estimated by least squares from the others.
    Interactions are taken as 0 if the others do not determine them. Nothing is estimated if they do
    not determine the main effects either.

    Args:
        rows: the rows of all jobs.
        swept: the swept keys; without two factors among them there are no effects.
        metric: the column of the metric.
    """
    factors = factors_of(rows, swept)
    cells = _cells(rows, swept, metric)
    count = math.prod(map(len, factors.values()))
    if not factors:
        return Effects([], 0, "no factorial of two factors or more")
    if count > MAX_SETTINGS:
        return Effects([], 0, f"{count} settings are too many for effects, at most {MAX_SETTINGS}")
    if not cells:
        return Effects([], 0, "no setting has a finite value")
    are_missing = len(cells) < count
    notes = [f"{count - len(cells)} of {count} settings are missing"] if are_missing else []
    every = list(dict.fromkeys(seed for found in cells.values() for seed in found))
    seeds = [seed for seed in every if all(seed in found for found in cells.values())]
    if not seeds:
        return Effects([], 0, "; ".join([*notes, "no seed has a value in all settings"]))
    # Imported late: a command that only reads results must not wait for numpy.
    from fokker.sweeps.factorial import Factorial

    model = Factorial.of(factors, list(cells))
    if model is None:
        return Effects([], 0, "; ".join([*notes, "those left do not tell the factors apart"]))
    if are_missing:
        lost = ", as if there were no interactions, which they do not tell"
        notes.append("least squares over the others" + lost * (not model.has_interactions))
    if len(seeds) < len(every):
        notes.append(f"over {len(seeds)} of {len(every)} seeds, those that all settings have")
    values = [[found[seed][0] for seed in seeds] for found in cells.values()]
    own = [found[seeds[0]][1] for found in cells.values()]
    notes.append(_behind(len(seeds), all(map(math.isfinite, own))))
    return Effects(model.effects(values, own), len(seeds), "; ".join(notes))


def _behind(seeds: int, are_known: bool) -> str:
    """Say where the errors come from."""
    if seeds > 1:
        return f"± is one standard error over {seeds} seeds, each with all settings"
    if not are_known:
        return "one seed, and no standard errors are known"
    return (
        "one seed: ± is one standard error by the samples of the runs alone, as if these were "
        "independent"
    )


def _cells(
    rows: Sequence[Row], swept: Sequence[str], metric: str
) -> dict[tuple[str, ...], dict[str, tuple[float, float]]]:
    """Return the finite values of each setting by seed, each with its own error, NaN if unknown."""
    found = {}
    keys = list(factors_of(rows, swept))
    for same in settings_of(rows, swept).values():
        values = {
            str(row.get(SEED, "")): (float(row[metric]), _number(row.get(metric + ERROR)))
            for row in same
            if math.isfinite(_number(row.get(metric)))
        }
        if values:
            found[tuple(str(same[0][key]) for key in keys)] = values
    return found


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan
