"""The least squares of a factorial: weights of the settings in each effect."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import final

import numpy as np
from numpy.typing import NDArray

from fokker.sweeps.effects import Effect

Floats = NDArray[np.float64]
_ROUNDING = 1e-12


@final
@dataclass(frozen=True)
class Factorial:
    """The effects of a factorial, and the weights of the settings in each.

    Attributes:
        names: the factors and the levels of each effect.
        weights: the weights, of shape (effects, settings).
        has_interactions: whether interactions are estimated too.
    """

    names: Sequence[tuple[tuple[str, ...], tuple[str, ...]]]
    weights: Floats
    has_interactions: bool

    @classmethod
    def of(
        cls, factors: Mapping[str, Sequence[str]], cells: Sequence[tuple[str, ...]]
    ) -> "Factorial | None":
        """Return the model with interactions if the settings determine these, else without them.

        It is null if the settings do not determine the main effects either.
        """
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

    def effects(self, values: Sequence[Sequence[float]], own: Sequence[float]) -> list[Effect]:
        """Estimate the effects.

        Args:
            values: the values of the metric, of shape (settings, seeds).
            own: the standard errors of the settings, NaN where they are not known.
        """
        return _estimated(self, np.array(values), np.array(own))


def _columns(
    term: tuple[str, ...], factors: Mapping[str, Sequence[str]], cells: Sequence[tuple[str, ...]]
) -> tuple[Floats, Floats]:
    """Return a term's columns of the design, and the matrix that gives its effects from them.

    The contrasts sum to 0: the last level is minus the sum of the others.
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


def _estimated(model: Factorial, values: Floats, own: Floats) -> list[Effect]:
    """Estimate the effects from values (settings, seeds) with their own errors (settings,)."""
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
    # An effect that is 0 except for rounding must not have digits.
    each[np.abs(each) < _ROUNDING * np.abs(values).max()] = 0.0
    seeds = values.shape[1]
    if seeds > 1:
        return each.mean(axis=1), each.std(axis=1, ddof=1) / math.sqrt(seeds)
    return each[:, 0], np.sqrt(weights**2 @ own**2)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
