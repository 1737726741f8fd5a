"""Figures of a metric against NFE, from the rows of evaluations.csv."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any, final

from fokker.measures import ERROR, Measure
from fokker.sweeps.collection import SEED, Spread, beside
from fokker.sweeps.standings import TRIAL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Keys that vary along a line, as NFE does; their values make no further lines.
ALONG = re.compile(r"(sampler\.)?(num_steps|rtol|atol)")
#: Lines beyond this number cannot be told apart in a panel.
MAX_LINES = 15
_MAX_PANELS = 9
#: Texts that say in a caption what the error bars are.
BLOCKS = "1 standard error, from blocks of samples"
SEEDS = "1 standard error of the mean over the seeds"


@final
@dataclass(frozen=True)
class Sketch:
    """A figure to be saved as `name`, with a heading above and a caption in the report."""

    name: str
    figure: "Figure"
    caption: str
    heading: str


def _named(line: Mapping[str, str]) -> str:
    return ", ".join(line.values())


@final
@dataclass(frozen=True)
class Point:
    """A metric of a setting at one NFE.

    Attributes:
        line: the text of each key that tells lines apart: `{"formulation": "formulation=ddpm"}`.
        sampler: the name of the sampler; where samplers are swept, the next part of the sampling
            method, or nothing.
        num_steps: the number of steps; null for an adaptive sampler.
        nfe, value, error: the NFE, the metric, and its standard error; NaN where not known.
    """

    line: Mapping[str, str]
    sampler: str
    num_steps: int | None
    nfe: float
    value: float
    error: float


def points_of(
    evaluations: Sequence[Mapping[str, str]], swept: Sequence[str], metric: str
) -> list[Point]:
    """Return the evaluations as points, one for each setting and number of steps.

    Where seeds are swept, a point is a mean over them with its standard error.
    """
    keys = [name for name in beside(swept) if name != TRIAL]
    lines = [name for name in keys if not ALONG.fullmatch(name)]
    # A job may have evaluated several samplers or grids; each of them makes a line of its own.
    parts = _parts(evaluations, swept)
    for name in parts:
        jobs: dict[str, set[str]] = {}
        for row in evaluations:
            jobs.setdefault(row["folder"], set()).add(row[name])
        if name not in keys and any(len(found) > 1 for found in jobs.values()):
            lines.append(name)
    groups: dict[Any, dict[str, tuple[float, float, float]]] = {}
    for row in evaluations:
        if metric not in row:
            continue
        # A swept value is named with its key; samplers and grids need none.
        where = tuple(f"{n}={row[n]}" if n in keys else row[n] for n in lines)
        along = (row["num_steps"], *(row[name] for name in keys if ALONG.fullmatch(name)))
        seed, trial = row.get(SEED, ""), row.get(TRIAL, "")
        found = (_number(row["nfe"]), _number(row[metric]), _number(row.get(metric + ERROR)))
        name = row[parts[0]] if parts else ""
        groups.setdefault((where, name, along, trial), {}).setdefault(seed, found)
    points = []
    for (where, sampler, along, _), seeds in groups.items():
        nfe, values, errors = zip(*seeds.values())
        if SEED in swept:
            spread = Spread.of(values)
            value, error = spread.mean, spread.standard_error
        else:
            value, error = values[0], errors[0]
        steps = int(along[0]) if along[0].isdigit() else None
        line = dict(zip(lines, where))
        points.append(Point(line, sampler, steps, sum(nfe) / len(nfe), value, error))
    return points


def _parts(evaluations: Sequence[Mapping[str, str]], swept: Sequence[str]) -> list[str]:
    """Return the columns before `nfe` that describe the sampling and are not swept."""
    others = {"num_steps", *swept, *(f"swept_{name}" for name in swept)}
    before = takewhile(lambda name: name != "nfe", evaluations[0] if evaluations else ())
    return [name for name in before if name not in others]


def _number(text: str | None) -> float:
    """Return the number in a text; NaN where there is none."""
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def panel_key(lines: Sequence[Mapping[str, str]]) -> str | None:
    """Return the key that divides the lines into the fewest panels; null if one panel fits all.

    Raises:
        ValueError: if no key gives few enough panels of few enough lines.
    """
    if len(lines) <= MAX_LINES:
        return None
    panels = {}
    for key in lines[0]:
        others = {tuple((k, v) for k, v in line.items() if k != key) for line in lines}
        if len(others) <= MAX_LINES:
            panels[key] = len({line[key] for line in lines})
    if panels and min(panels.values()) <= _MAX_PANELS:
        return min(panels, key=lambda key: panels[key])
    raise ValueError(
        f"{len(lines)} settings are too many for lines, at most {MAX_LINES} in each of "
        f"{_MAX_PANELS} panels"
    )


def against_nfe(
    evaluations: Sequence[Mapping[str, str]],
    swept: Sequence[str],
    metric: str,
    measure: Measure,
    units: str,
    data: str,
) -> Iterator[Sketch]:
    """Draw the metric against NFE, with a line for each setting.

    For a search, and if the settings are too many for lines, draw a dot for each result instead.
    """
    points = points_of(evaluations, swept, metric)
    if not points:  # A metric of the model, or of a report, has no NFE.
        return
    shown = [p for p in points if 0 < p.value < math.inf and 0 < p.nfe < math.inf]
    if not shown:
        raise ValueError(f"no result has a positive, finite {metric}")
    if len({p.nfe for p in shown}) == 1:
        raise ValueError(f"all results have NFE {shown[0].nfe:g}")
    lines = list({tuple(p.line.items()): p.line for p in points}.values())
    name, bars = f"{metric}_against_nfe", SEEDS if SEED in swept else BLOCKS
    words = measure.words[:1].upper() + measure.words[1:]
    heading = f"{words} against number of function evaluations, {data} ({measure.better})"
    try:
        key = panel_key(lines)
    except ValueError:
        key = ""
    if key == "" or TRIAL in swept:
        said = f"{heading}, a dot for each result of {len(lines)} settings."
        yield Sketch(name, _front(shown, measure, units), f"{said} {_best(shown)}", heading)
        return
    from fokker.figures import metric_against_nfe, metric_label

    table = [
        {
            "line": _named({k: v for k, v in p.line.items() if k != key}) or p.sampler,
            "panel": _named({key: p.line[key]}) if key else None,
            "num_steps": p.num_steps,
            "nfe": p.nfe,
            metric: p.value,
            metric + ERROR: p.error,
        }
        for p in points
    ]
    figure = metric_against_nfe(table, metric, label=metric_label(measure, units), bars=bars)
    panels = f", a panel for each {key}" if key else ""
    caption = f"{heading}, a line a setting{panels}. Bars: {bars}."
    yield Sketch(name, figure, caption, heading)


def _front(points: Sequence[Point], measure: Measure, units: str) -> "Figure":
    """Draw a dot for each point, in groups by the first key with two to six values."""
    from fokker.figures import front_per_nfe, metric_label

    key = next((k for k in points[0].line if 2 <= len({p.line[k] for p in points}) <= 6), None)
    groups: dict[str, list[tuple[float, float]]] = {}
    for p in points:
        name = "settings" if key is None else _named({key: p.line[key]})
        groups.setdefault(name, []).append((p.nfe, p.value))
    return front_per_nfe(groups, metric_label(measure, units))


def _best(points: Sequence[Point]) -> str:
    """Name the best points up to each NFE, at most five of them."""
    from fokker.figures.front_per_nfe import front_of

    best = [points[i] for i in front_of([(p.nfe, p.value) for p in points])]
    named = [f"NFE {p.nfe:g}: {p.value:.3g} ({_named(p.line) or p.sampler})" for p in best[:5]]
    return f"The best: {'; '.join(named)}{'; …' if len(best) > 5 else '.'}"
