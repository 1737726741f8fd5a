"""What an evaluation besides the samples gives, and the reports of every run on known data."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, final

from matplotlib.figure import Figure
from torch import Tensor

from fokker.analysis.error_budget import ErrorBudget, error_budget
from fokker.analysis.gaussian_errors import gaussian_errors
from fokker.distributions import Gaussian, GaussianCovariance
from fokker.experiment.sample import Sampling
from fokker.formulations import Diffusion
from fokker.randomness import Randomness

# A flow in more than one dimension is an ODE at rtol 1e-8, a map between quantiles in one.
BUDGET_POINTS = {True: 2_000, False: 200}


@final
@dataclass(frozen=True)
class Report:
    """A table with what belongs to it.

    Attributes:
        name: of its files: <name>.csv, <name>.npz, figures/<name>.
        title: what the table is.
        rows: of the table, all with the same keys.
        metrics: for metrics.json.
        notes: how it is to be read, a line each.
        arrays: what the table was made of.
        figure: draws it.
    """

    name: str
    title: str
    rows: Sequence[Mapping[str, Any]]
    metrics: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    figure: Callable[[], Figure] | None = None


class Evaluation(Protocol):
    """An option of the group `evaluation`."""

    def check(self, model: Diffusion, sampling: Sampling) -> None:
        """Refuse, before anything is trained, by a ValueError."""

    def __call__(self, model: Diffusion, sampling: Sampling, randomness: Randomness) -> Report:
        """Evaluate a model that is ready, with the run's own sampling."""


def no_budget(model: Diffusion, sampling: Sampling) -> str:
    """Why a run has no error budget; empty if it can have one."""
    if not model.data.fresh or model.data.law is None:
        return "the data's law is not known"
    if model.data.law.dim > 1 and not sampling.sampler.is_deterministic:
        return (
            f"sampler={sampling.name} is stochastic; in more than one dimension the error of a "
            "deterministic one can be split, such as sampler=heun"
        )
    return ""


def budget_report(
    model: Diffusion, sampling: Sampling, points: int | None, num_samples: int, seed: int
) -> Report:
    """The error budget of a model and its sampling.

    Args:
        points: how many starts; null: as many as samples, at most 2,000 in one dimension and 200
            in more.
    """
    one_dimensional = model.data.law is not None and model.data.law.dim == 1
    count = min(num_samples, BUDGET_POINTS[one_dimensional]) if points is None else points
    budget = error_budget(model, sampling.sampler, sampling.nodes, count, Randomness(seed))
    rows, units = budget.rows(), model.data.unit_label
    steps = "its own steps" if sampling.num_steps is None else f"{sampling.num_steps} steps"
    starts = "quantiles" if one_dimensional else "starts"
    units = model.data.unit_label
    notes = ["signed displacements add exactly to the measured one; their norms do not add"]
    if one_dimensional and not sampling.sampler.is_deterministic:
        notes.append(f"the sampler is stochastic: chance in {count} samples is in discretisation")
    part = {str(row["term"]): float(row["rms"]) for row in rows}
    if part["learning"] > 3 * part.get("learning, N to infinity", math.inf):
        notes.append(
            "learning is far above its limit: these steps lead the network where it was not trained"
        )
    return Report(
        name="error_budget",
        title=f"error budget of {sampling.name}, {steps}, {count} {starts}, in {units}",
        rows=rows,
        metrics={f"error_{_key(str(row['term']))}": float(row["rms"]) for row in rows},
        notes=notes,
        arrays=_arrays(budget),
        figure=lambda: _figure(budget, units),
    )


def _key(term: str) -> str:
    return term.replace(", N to infinity", "_limit")


def _arrays(budget: ErrorBudget) -> dict[str, Tensor]:
    limit = {} if budget.learning_limit is None else {"learning_limit": budget.learning_limit}
    quantiles = {} if budget.u is None else {"u": budget.u}
    return {**quantiles, **budget.terms, **limit}


def _figure(budget: ErrorBudget, units: str) -> Figure:
    from fokker.figures import error_budget as draw

    last = budget.rows()[-1]
    extra = {} if budget.learning_limit is None else {str(last["term"]): float(last["rms"])}
    terms = {name: term.numpy() for name, term in budget.terms.items()}
    u = None if budget.u is None else budget.u.numpy()
    return draw(terms, budget.measured.numpy(), extra, u, units)


def exact_distances(model: Diffusion, sampling: Sampling) -> dict[str, float]:
    """W2 to Gaussian data, and of its causes, of the ideal denoiser's samples, without sampling.

    In the data's units; nothing for other data, a network, or a sampler whose law is not known.
    """
    data = model.data
    law = data.law
    if not (model.is_exact and isinstance(law, (Gaussian, GaussianCovariance))):
        return {}
    centred, spread = (law.mean - data.shift) / data.scale, law.covariance / data.scale**2
    standardized = GaussianCovariance(centred, spread)
    names = ("w2", "w2_truncation", "w2_initialisation", "w2_discretisation")
    try:
        errors = gaussian_errors(standardized, sampling.sampler, sampling.nodes, model.start_law)
    except ValueError:  # Not an affine sampler, or one that diverges.
        return {}
    found = (errors.total, errors.truncation, errors.initialisation, errors.discretisation)
    return {name: value * data.scale for name, value in zip(names, found, strict=True)}
