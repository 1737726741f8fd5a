r"""Main effects and two-way interactions of a factorial sweep, with standard errors.

A setting's metric is `y = m + sum_f a_f(level) + sum_{f<g} b_fg(level, level) + rest`, where the
effects of a factor sum to 0 over its levels, and an interaction does over the levels of either.
In a full factorial the least-squares estimates are the textbook's:

    m = mean of all settings,  a_f(l) = mean of those with level l - m,
    b_fg(l, k) = mean of those with both - m - a_f(l) - a_g(k).

Source: Box, Hunter & Hunter 2005, "Statistics for Experimenters", chapters 5 and 8.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from fokker.cli.collection import ERROR, SEED, beside, settings_of
from fokker.cli.standings import TRIAL
from fokker.cli.sweep_jobs import Row

Floats = NDArray[np.float64]
#: Settings beyond this number are no factorial that one would look at factor by factor.
MAX_SETTINGS = 2000
_ROUNDING = 1e-12


@final
@dataclass(frozen=True)
class Effect:
    """Of a level of a factor, or of a pair of levels of two.

    Attributes:
        factors: one or two swept keys.
        levels: a value of each.
        value: the difference that it makes, in the metric's unit.
        error: the standard error of that; none if it is not known.
        factor: by how much it multiplies the metric, the exponential of the effect on the
            logarithm; none where a value is not positive.
        factor_error: the standard error of that factor, to first order.
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
    """Of one metric.

    Attributes:
        effects: main effects in the order of the factors, then interactions; empty if nothing can
            be said.
        n: how many seeds they are means over.
        note: what is behind the errors, what is missing, and what could not be estimated.
    """

    effects: Sequence[Effect]
    n: int
    note: str


def factors_of(rows: Sequence[Row], swept: Sequence[str]) -> dict[str, list[str]]:
    """Return the levels of each factor, in their order; nothing where there are fewer than two.

    A factor is a swept key with several values, but for the seed; a search has none.
    """
    if TRIAL in swept:
        return {}
    values = {key: list(dict.fromkeys(str(row[key]) for row in rows)) for key in beside(swept)}
    found = {key: levels for key, levels in values.items() if len(levels) > 1}
    return found if len(found) > 1 else {}


def effects_of(rows: Sequence[Row], swept: Sequence[str], metric: str) -> Effects:
    """Estimate the effects on a metric.

    Over seeds: each effect is estimated from each seed that all settings have, and the standard
    error is that of the mean over these, `std / sqrt(n)`; so what a seed adds to all settings
    alike is no error. Of one seed it is `sqrt(sum_i w_i^2 e_i^2)` with the standard errors e_i of
    the runs, and the weights w_i of the settings in the effect.

    Where settings are missing, the effects are estimated by least squares from those that are
    there, interactions as 0 if these cannot be told; and not at all if main effects cannot either.

    Args:
        rows: of all jobs.
        swept: their keys that are swept, at least two of them with several values but for the seed.
        metric: a column.
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
    model = _Model.of(factors, list(cells))
    if model is None:
        return Effects([], 0, "; ".join([*notes, "those left do not tell the factors apart"]))
    if are_missing:
        lost = ", as if there were no interactions, which they do not tell"
        notes.append("least squares over the others" + lost * (not model.has_interactions))
    if len(seeds) < len(every):
        notes.append(f"over {len(seeds)} of {len(every)} seeds, those that all settings have")
    values = np.array([[found[seed][0] for seed in seeds] for found in cells.values()])
    own = np.array([found[seeds[0]][1] for found in cells.values()])
    notes.append(_behind(len(seeds), bool(np.isfinite(own).all())))
    return Effects(_estimated(model, values, own), len(seeds), "; ".join(notes))


def _behind(seeds: int, are_known: bool) -> str:
    """Say what is behind the errors."""
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
    """Return the finite value and its own error, NaN if unknown, of each seed of each setting."""
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


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


@final
@dataclass(frozen=True)
class _Model:
    """Which effects there are, and their weights on the settings, (effects, settings)."""

    names: Sequence[tuple[tuple[str, ...], tuple[str, ...]]]
    weights: Floats
    has_interactions: bool

    @classmethod
    def of(
        cls, factors: Mapping[str, Sequence[str]], cells: Sequence[tuple[str, ...]]
    ) -> "_Model | None":
        """Return the one with interactions if the settings tell these, else without, else none."""
        for order in (2, 1):
            terms = [t for size in range(1, order + 1) for t in combinations(factors, size)]
            parts = [_columns(term, factors, cells) for term in terms]
            design = np.hstack([np.ones((len(cells), 1)), *(x for x, _ in parts)])
            if np.linalg.matrix_rank(design) == design.shape[1]:
                solved, start, weights = np.linalg.pinv(design), 1, []
                for x, expand in parts:
                    weights.append(expand @ solved[start : start + x.shape[1]])
                    start += x.shape[1]
                names = [(t, pair) for t in terms for pair in product(*(factors[f] for f in t))]
                return cls(names, np.vstack(weights), order == 2)
        return None


def _columns(
    term: tuple[str, ...], factors: Mapping[str, Sequence[str]], cells: Sequence[tuple[str, ...]]
) -> tuple[Floats, Floats]:
    """Return a term's columns of the design, and what makes the effects of all levels of them.

    Contrasts that sum to 0: the last level is minus the sum of the others.
    """
    places = [list(factors).index(factor) for factor in term]
    contrasts = []
    for factor in term:
        size = len(factors[factor])
        contrasts.append(np.vstack([np.eye(size - 1), -np.ones((1, size - 1))]))
    expand: Floats = contrasts[0]
    for contrast in contrasts[1:]:
        expand = np.kron(expand, contrast).astype(np.float64)
    levels = [factors[factor] for factor in term]
    order = {pair: i for i, pair in enumerate(product(*levels))}
    rows = [order[tuple(cell[place] for place in places)] for cell in cells]
    return expand[rows], expand


def _estimated(model: _Model, values: Floats, own: Floats) -> list[Effect]:
    """Return the effects of values (settings, seeds) with their own errors (settings,)."""
    effects, errors = _with_errors(model.weights, values, own)
    if (values > 0).all():
        logs, log_errors = _with_errors(model.weights, np.log(values), own / values[:, 0])
        factors = np.exp(logs)
        of_factors = factors * log_errors
    else:
        factors = of_factors = np.full(len(effects), math.nan)
    return [
        Effect(*name, float(value), *map(_known, numbers))
        for name, value, *numbers in zip(model.names, effects, errors, factors, of_factors)
    ]


def _with_errors(weights: Floats, values: Floats, own: Floats) -> tuple[Floats, Floats]:
    each = weights @ values
    # Lest a 0 that is so but for rounding has digits.
    each[np.abs(each) < _ROUNDING * np.abs(values).max()] = 0.0
    seeds = values.shape[1]
    if seeds > 1:
        return each.mean(axis=1), each.std(axis=1, ddof=1) / math.sqrt(seeds)
    return each[:, 0], np.sqrt(weights**2 @ own**2)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
