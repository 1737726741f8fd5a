"""The figures of a run."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fokker.data import DataModule
from fokker.experiment.evaluate import SIGMAS
from fokker.experiment.reports import Report
from fokker.experiment.sample import Samples
from fokker.formulations import Diffusion

CAUSES = ("truncation", "initialisation", "discretisation")


def draw_figures(
    model: Diffusion,
    losses: Mapping[str, Mapping[str, Any]],
    own: Samples,
    heading: str,
    rows: Sequence[Mapping[str, Any]],
    reports: Sequence[Report],
    folder: Path,
) -> None:
    """Write the figures of a run, as PNG and PDF.

    Args:
        model: evaluated.
        losses: from `Validation`, by name; the model's own first, and others of the same data.
        own: samples of the run's own sampling.
        heading: what made them.
        rows: of evaluations.csv.
        reports: of the evaluations.
        folder: made if need be.
    """
    from fokker.figures import (
        gaussian_errors,
        loss_per_sigma,
        metric_against_nfe,
        metric_label,
        samples_beside_data,
        save,
        trajectory,
    )

    data = model.data
    curves = _curves(data, losses)
    if curves[0]:
        save(loss_per_sigma(*curves), folder / "loss_per_sigma")
    reference, known = data.held_out(len(own.points)), density_beside_samples(data)
    name = "exact density" if known else "fresh data" if data.fresh else "held-out data"
    both = (own.points.numpy(), reference.numpy())
    samples = samples_beside_data(*both, data.shape, ("samples", name), density=known)
    save(samples, folder / "samples", heading)
    path = trajectory(own.states.numpy(), own.sigmas.numpy(), data.shape, "data units")
    save(path, folder / "trajectory", heading)
    if len(rows) > 1:
        metric = "w1" if "w1" in rows[0] else "sliced_w2"
        figure = metric_against_nfe(rows, metric, label=metric_label(metric))
        save(figure, folder / f"{metric}_against_nfe")
        if any("w2" in row for row in rows):
            save(gaussian_errors(*_errors_by_steps(rows), "data units"), folder / "gaussian_errors")
    for report in reports:
        if report.figure is not None:
            save(report.figure(), folder / report.name, heading)


def density_beside_samples(data: DataModule) -> tuple[Tensor, Tensor] | None:
    """Of a known law in one dimension, as (x, p), over three times its width."""
    law = data.law
    if law is None or not data.fresh or data.shape != (1,):
        return None
    low, high = law.quantile(torch.tensor([1e-5, 1 - 1e-5], dtype=torch.float64)).tolist()
    x = torch.linspace(2 * low - high, 2 * high - low, 6001, dtype=torch.float64)
    # With as little noise as is not seen: not every law has a density without.
    return x, law.log_prob(x[:, None], 1e-4 * (high - low)).exp()


def _errors_by_steps(rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[int]]:
    """Exact W2 errors by sampler and cause, and the numbers of steps that all of them took."""
    timed = [row for row in rows if row["num_steps"] is not None and "w2" in row]
    several = len({row["grid"] for row in timed}) > 1
    table: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in timed:
        name = f"{row['sampler']}, {row['grid']}" if several else row["sampler"]
        table.setdefault(name, {})[row["num_steps"]] = row
    common = set.intersection(*(set(found) for found in table.values()))
    steps = sorted(common or {n for found in table.values() for n in found})
    columns = {"total": "w2", **{cause: f"w2_{cause}" for cause in CAUSES}}
    return {
        name: {
            cause: [found[n][column] if n in found else math.nan for n in steps]
            for cause, column in columns.items()
        }
        for name, found in table.items()
    }, steps


def _curves(data: DataModule, losses: Mapping[str, Mapping[str, Any]]) -> tuple[Any, ...]:
    """The arguments of the figure of losses: curves, sigmas, and floor and excess if known.

    Without curves that are 0 everywhere, as of the ideal denoiser of equal points.
    """
    curves, excesses, floors = {}, {}, None
    for name, found in losses.items():
        if "losses" not in found:
            curves[name] = found["denoising_errors"]
            continue
        known = name
        if not data.fresh:
            curves[f"{name}, held out"] = found["denoising_errors"]
            known = f"{name}, training set"
        curves[known], excesses[known] = found["losses"], found["excesses"]
        floors = floors or found["floors"]
    curves = {name: curve for name, curve in curves.items() if any(v > 0 for v in curve)}
    excesses = {name: excess for name, excess in excesses.items() if name in curves}
    return curves, SIGMAS.numpy(), floors, excesses or None
