"""The figures of a run."""

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from fokker.data import DataModule, StandardizedData
from fokker.evaluations.sample import Samples
from fokker.formulation import Formulation, Report
from fokker.levels import Table
from fokker.machine.disk import DiskError
from fokker.machine.signals import SIGNALS
from fokker.measures import OF_DATA, Measure, measure_of

_NO_METRIC = ("num_steps", "nfe", "seconds")


def draw_figures(
    model: Formulation,
    curves: Sequence[Mapping[str, float]],
    losses: Mapping[str, Table],
    own: Samples,
    heading: str,
    measures: Mapping[str, Measure],
    rows: Sequence[Mapping[str, object]],
    of_data: Mapping[str, float],
    reports: Sequence[Report],
    say: Callable[[str], None],
    folder: Path,
) -> None:
    """Write the figures of a run, as PNG and PDF.

    The record holds all their numbers by then. So a figure that cannot be drawn does not end the
    run: a printed line says so, and the others are drawn.

    Args:
        model: the evaluated model.
        curves: the rows of the training's metrics.jsonl; none for an ideal denoiser.
        losses: the tables of losses by name, the model's own first, then others of the same data.
        own: the samples of the run's own sampling.
        heading: the text that says what made the samples.
        measures: the measures of the metrics of samples, the most important one first.
        rows: the rows of evaluations.csv.
        of_data: the distances of as many points of the data, as `<metric>_data`.
        reports: the reports of the run.
        say: the function that prints a line.
        folder: the folder of the figures, which is made if need be.

    Raises:
        DiskError: if a file cannot be written.
    """
    from fokker.figures import save, training_curve

    has_loss = any("loss" in row for row in curves)  # No row has one if it ended too soon.
    sketches: dict[str, tuple[Callable[[], Figure], str]] = {
        "loss_per_level": (lambda: _losses(model.data, losses), ""),
        "samples": (lambda: _samples(model.data, own), heading),
        "trajectory": (lambda: _trajectory(model, own), heading),
        **({"training_curve": (lambda: training_curve(curves), "")} if has_loss else {}),
        **_of_steps(rows, measures, of_data, model.data.unit_label),
        **{name: (draw, "") for name, draw in model.figures(rows).items()},
        **{r.name: (r.figure, heading) for r in reports if r.figure is not None},
    }
    for name, (draw, above) in sketches.items():
        SIGNALS.ask()
        try:
            save(draw(), folder / name, above)
        except DiskError:
            raise
        except Exception as error:
            text = " ".join(str(error).split())
            known = isinstance(error, ValueError)
            say(f"no figure {name}: {text if known else f'{type(error).__name__}: {text}'}")


def _samples(data: DataModule, own: Samples) -> Figure:
    """Draw samples and data that are not trained on, or the density where it is known."""
    from fokker.figures import samples_beside_data

    reference, known = data.held_out(len(own.points)).x, density_beside_samples(data)
    name = "exact density" if known else "fresh data" if data.fresh else "held-out data"
    return samples_beside_data(
        own.points.numpy(), reference.numpy(), data.shape, ("samples", name), data.unit_label,
        known, data.layout,
    )  # fmt: skip


def _trajectory(model: Formulation, own: Samples) -> Figure:
    """Draw samples at several places of their trajectories."""
    from fokker.figures import trajectory

    data, axis = model.data, model.axis
    states, places = own.states.numpy(), own.places.numpy()
    return trajectory(
        states, places, data.shape, data.unit_label, data.layout, axis.symbol
    )


def _of_steps(
    rows: Sequence[Mapping[str, object]],
    measures: Mapping[str, Measure],
    of_data: Mapping[str, float],
    units: str,
) -> dict[str, tuple[Callable[[], Figure], str]]:
    """Return the figures of several evaluations: the functions that draw them, and headings."""
    from fokker.figures import metric_against_nfe, metric_label

    if len(rows) < 2:
        return {}
    numbers = [n for n, v in rows[0].items() if isinstance(v, float) and n not in _NO_METRIC]
    metric = next(iter([*measures, *numbers]), None)
    if metric is None:
        return {}
    label = metric_label(measures.get(metric) or measure_of(metric), units)
    yardstick = of_data.get(f"{metric}{OF_DATA}")
    sketches: dict[str, tuple[Callable[[], Figure], str]] = {
        f"{metric}_against_nfe": (
            lambda: metric_against_nfe(
                [{**row, **_line_and_panel(row)} for row in rows], metric,
                label=label, of_data=yardstick,
            ), "",
        )
    }
    return sketches


def _line_and_panel(row: Mapping[str, object]) -> dict[str, Any]:
    """Name an evaluation's line by its first part, such as the sampler, its panel by the others."""
    first, *others = takewhile(lambda name: name != "num_steps", row)
    return {"line": row[first], "panel": ", ".join(str(row[name]) for name in others) or None}


def density_beside_samples(data: DataModule) -> tuple[Tensor, Tensor] | None:
    """Return the density of a known law in one dimension, as (x, p), over three times its width."""
    law = data.law if isinstance(data, StandardizedData) else None
    if law is None or not data.fresh or data.shape != (1,):
        return None
    low, high = law.quantile(torch.tensor([1e-5, 1 - 1e-5], dtype=torch.float64)).tolist()
    x = torch.linspace(2 * low - high, 2 * high - low, 6001, dtype=torch.float64)
    # The noise is too little to be seen: not every law has a density without it.
    return x, law.log_prob(x[:, None], 1e-4 * (high - low)).exp()


def _losses(data: DataModule, tables: Mapping[str, Table]) -> Figure:
    """Draw losses over the axis of the first table, with floor and excess where they are known."""
    from fokker.figures import loss_per_level

    first = next(iter(tables.values()))
    curves, excesses, floor = {}, {}, None
    for name, table in tables.items():
        if (table.axis, table.level) != (first.axis, first.level):
            continue
        found, known = table.where_trained, name
        if "loss" not in found:
            curves[name] = found["held_out"]
            continue
        if not data.fresh and "held_out" in found:
            curves[f"{name}, held out"] = found["held_out"]
            known = f"{name}, training set"
        curves[known] = found["loss"]
        if "excess" in found:
            excesses[known] = found["excess"]
        floor = floor or found.get("floor")
    return loss_per_level(first.axis, curves, first.level, floor, excesses or None)
