"""The figures of a sweep, from the rows of its jobs.

Nothing here needs torch or matplotlib before something is drawn.
"""

import math
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from fokker.machine.disk import DiskError
from fokker.measures import ERROR
from fokker.sweeps.against_nfe import ALONG, BLOCKS, SEEDS, Sketch, against_nfe
from fokker.sweeps.collection import (
    SEED,
    beside,
    evaluation_rows,
    metrics_of,
    over_seeds,
    write_evaluations,
    write_over_seeds,
)
from fokker.sweeps.effects import Effects, effects_of, factors_of
from fokker.sweeps.effects_table import write_effects
from fokker.sweeps.model_figures import joint, losses, trainings
from fokker.sweeps.outcome import Outcome
from fokker.sweeps.paper_tables import table_paths, write_paper_tables
from fokker.sweeps.report import Picture, Report

if TYPE_CHECKING:
    from fokker.figures import Bar

_MAX_BARS = 30


def study_comment(config: DictConfig) -> str:
    """Return the `#` lines at the head of a study's file, from the sweep's configuration.

    An empty line ends a paragraph; hydra's `# @package` is left out.
    """
    runtime = config.hydra.runtime
    for source in runtime.config_sources:
        file = Path(source.path) / "sweeps" / f"{runtime.choices.get('sweeps')}.yaml"
        if source.schema == "file" and file.is_file():
            lines = file.read_text(encoding="utf-8").splitlines()
            head = list(takewhile(lambda line: line.startswith("#") or not line.strip(), lines))
            kept = [line for line in head if not line.startswith("# @")]
            return "\n".join(line.lstrip("#").strip() for line in kept).strip()
    return ""


def draw_results(
    outcome: Outcome,
    comment: str = "",
    command: str | None = None,
    also: Sequence[Path] = (),
) -> list[Path]:
    """Write the tables and figures of a sweep besides results.csv, and report.html.

    Nothing is written if the folder has a complete report of the same rows. If something cannot be
    drawn, a line says so, and the rest is drawn.

    Args:
        outcome: the outcome of the sweep.
        comment: a text that says what the sweep is about, for the report.
        command: the command that makes the sweep again; as typed by default.
        also: the PNG files in `figures/` that the report has too.
    Returns:
        The tables for a paper, the PNG files without those in `also`, and at last the report; only
            the report if it was complete.
    """
    # The flag comes first, as one types it.
    typed = sorted(sys.argv[1:], key=lambda argument: argument not in ("-m", "--multirun"))
    report = Report(outcome, comment, command or shlex.join(["fokker", *typed]))
    folder, factors = outcome.folder, factors_of(outcome.rows, outcome.swept)
    tables = [folder / "evaluations.csv", *table_paths(outcome)]
    tables += [folder / "over_seeds.csv"] * outcome.has_seeds
    tables += [folder / "effects.csv"] * bool(factors)
    if report.is_whole(tables):
        return [report.path]
    pictures: list[Picture] = []
    notes: list[str] = []
    errors: list[Exception] = []
    written: list[Path] = []
    try:
        evaluations = evaluation_rows(folder, outcome.rows, outcome.swept)
        write_evaluations(folder / "evaluations.csv", evaluations)
        if outcome.has_seeds:
            write_over_seeds(folder / "over_seeds.csv", outcome.rows, outcome.swept)
        write_paper_tables(outcome)
        written += table_paths(outcome)
        effects = _effects(outcome) if factors else {}
        if factors:
            write_effects(folder / "effects.csv", effects)
        for what, draw in _sketches(outcome, evaluations).items():
            pictures += _saved(folder, what, draw, notes, errors)
        pictures += [Picture(path, path.stem.replace("_", " ")) for path in also]
        for note in notes:
            print(note)
        # A figure that failed for an unknown reason is tried again at the next start.
        is_final = all(isinstance(error, ValueError) for error in errors)
        chosen = [outcome.metric, outcome.excess_metric, *outcome.objectives]
        shown = {metric: effects[metric] for metric in chosen if metric in effects}
        report.write(pictures, notes, shown, is_final)
    except DiskError:
        raise
    except Exception as error:
        print(f"no report: {_sentence(error)}")
        return [*written, *(picture.path for picture in pictures if picture.path not in also)]
    drawn = [picture.path for picture in pictures if picture.path not in also]
    return [*written, *drawn, report.path]


def _sketches(
    outcome: Outcome, evaluations: Sequence[dict[str, str]]
) -> dict[str, Callable[[], Iterator[Sketch]]]:
    """Return what draws each kind of figure, by what it shows; nothing if no job is completed."""
    if not outcome.done:
        return {}
    metric = outcome.main_metric
    return {
        f"{metric} against NFE": lambda: against_nfe(
            evaluations, outcome.swept, metric, outcome.measure(metric), outcome.units,
            outcome.data,
        ),
        "single changes": lambda: single_changes(outcome),
        "losses by level": lambda: losses(outcome),
        "training curves": lambda: trainings(outcome),
        "runs side by side": lambda: joint(outcome),
    }


def _effects(outcome: Outcome) -> dict[str, Effects]:
    """Return the effects on each metric in which settings differ."""
    found: dict[tuple[str, str], set[float]] = {}
    for row in outcome.done:
        for metric, value in metrics_of(row, outcome.swept).items():
            found.setdefault((metric, str(row.get(SEED))), set()).add(value)
    varied = dict.fromkeys(metric for (metric, _), values in found.items() if len(values) > 1)
    return {metric: effects_of(outcome.rows, outcome.swept, metric) for metric in varied}


def _saved(
    folder: Path,
    what: str,
    draw: Callable[[], Iterator[Sketch]],
    notes: list[str],
    errors: list[Exception],
) -> Iterator[Picture]:
    """Save the figures of one kind; if one cannot be drawn, note why."""
    try:
        from fokker.figures import save

        for sketch in draw():
            path = save(sketch.figure, folder / "figures" / sketch.name, sketch.heading)
            yield Picture(path, sketch.caption)
    except DiskError:
        raise
    except Exception as error:
        errors.append(error)
        notes.append(f"no figure of {what}: {_sentence(error)}")


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"


# ---- single changes --------------------------------------------------------------------------


def _bars(outcome: Outcome, baseline: Mapping[str, str]) -> "list[Bar]":
    """Return a bar for each setting that differs from the baseline in at most one key."""
    from fokker.figures import Bar

    bars, keys = [], list(baseline)
    for row, metrics in over_seeds(outcome.rows, outcome.swept):
        changed = [key for key in keys if str(row[key]) != baseline[key]]
        if len(changed) > 1:
            continue
        group = changed[0] if changed else ""
        name = f"{group}={row[group]}" if changed else "baseline"
        if keys == ["setting"]:
            group, name = "", str(row["setting"])
        values = {metric: spread.mean for metric, spread in metrics.items()}
        errors = {metric: spread.standard_error for metric, spread in metrics.items()}
        if not outcome.has_seeds:
            errors = {m: row[m + ERROR] for m in metrics if row.get(m + ERROR) is not None}
        bars.append(Bar(group, name, values, errors, str(row["status"])))
    # The keys keep their order, whatever the order of the rows.
    return sorted(bars, key=lambda bar: ["", *keys].index(bar.group))


def single_changes(outcome: Outcome) -> Iterator[Sketch]:
    """Draw the first value of every key, and each setting that differs from it in one key."""
    rows, keys = outcome.rows, beside(outcome.swept)
    if outcome.is_search or all(ALONG.fullmatch(key) for key in keys):
        return
    from fokker.figures import factor_bars, metric_label

    baseline = {key: str(rows[0][key]) for key in keys}
    bars, seeded = _bars(outcome, baseline), outcome.has_seeds
    costs = {bar.values["nfe"] for bar in bars if "nfe" in bar.values}
    if len(bars) < 2:
        return
    if len(bars) > _MAX_BARS:
        raise ValueError(f"{len(bars)} bars are too many, at most {_MAX_BARS}")
    main, excess = outcome.main_metric, outcome.excess_metric
    wanted = dict.fromkeys([main, *outcome.objectives, excess, "denoising_error"])
    known = [m for m in wanted if any(math.isfinite(b.values.get(m, math.nan)) for b in bars)]
    if not known:
        raise ValueError("no result has a finite metric")
    what = " ".join(f"{key}={value}" for key, value in baseline.items())
    unlike = f"NFE from {min(costs):g} to {max(costs):g}" if len(costs) > 1 else ""
    title = f"baseline: {what}{f' ({unlike})' if unlike else ''}"
    measures = {name: outcome.measure(name) for name in known[:4]}
    labels = {
        name: f"{metric_label(m, outcome.units)}, {m.better}" for name, m in measures.items()
    }
    figure = factor_bars(bars, labels, SEEDS if seeded else BLOCKS, title)
    heading = f"Single changes of a setting, {outcome.data}"
    caption = f"{heading}: {what}, and every setting that differs from it in one key."
    if keys == ["setting"]:
        caption = f"The settings, {outcome.data}; the first is the baseline."
    if unlike:
        caption += f" Not at equal cost: {unlike}."
    if "excess" in known[:4]:
        caption += " An excess is of a formulation's own loss and compares within it alone."
    yield Sketch("single_changes", figure, caption, heading)
