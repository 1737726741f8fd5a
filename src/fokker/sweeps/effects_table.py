"""effects.csv, and the effects of a metric as a table."""

from collections.abc import Mapping
from pathlib import Path

from fokker.sweeps.collection import write_csv
from fokker.sweeps.digits import column
from fokker.sweeps.effects import Effect, Effects
from fokker.sweeps.tables import Table

#: The most interactions that a table lists.
_MAX_INTERACTIONS = 12


def write_effects(path: Path, found: Mapping[str, Effects]) -> None:
    """Write effects.csv, a row for each effect on a metric.

    `factor` is the ratio by which the effect multiplies the metric. An interaction has both of its
    keys as `term`, and both levels as `level`, with a colon between.
    """
    names = ["metric", "term", "level", "effect", "effect_standard_error"]
    names += ["factor", "factor_standard_error", "seeds"]
    lines = [
        dict(zip(names, [metric, *_names(e), e.value, e.error, e.factor, e.factor_error, own.n]))
        for metric, own in found.items()
        for e in own.effects
    ]
    write_csv(path, lines, names)


def effects_table(effects: Effects) -> Table:
    """Return the main effects, and the largest interactions relative to their standard errors."""
    main = [e for e in effects.effects if len(e.factors) == 1]
    pairs = [e for e in effects.effects if len(e.factors) > 1]
    largest = sorted(pairs, key=_weight, reverse=True)[:_MAX_INTERACTIONS]
    shown = [*main, *(e for e in pairs if e in largest)]
    cells = [
        [_names(e)[0] for e in shown],
        [_names(e)[1] for e in shown],
        column([(e.value, e.error) for e in shown]),
        column([(e.factor, e.factor_error) for e in shown]),
    ]
    cells[2] = [text if text.startswith("-") else f"+{text}" for text in cells[2]]
    return Table(["term", "level", "effect", "factor"], list(zip(*cells)))


def left_out(effects: Effects) -> int:
    """Return how many interactions the table does not show."""
    pairs = sum(len(e.factors) > 1 for e in effects.effects)
    return max(pairs - _MAX_INTERACTIONS, 0)


def _names(effect: Effect) -> tuple[str, str]:
    return ":".join(effect.factors), ":".join(effect.levels)


def _weight(effect: Effect) -> float:
    return abs(effect.value) / (effect.error or 1.0)
