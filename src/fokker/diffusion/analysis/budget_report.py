"""The error budget of a run as a report."""

import math

from matplotlib.figure import Figure
from torch import Tensor

from fokker.diffusion.analysis.error_budget import ErrorBudget, error_budget
from fokker.diffusion.analysis.model import Model
from fokker.diffusion.samplers import Sampler
from fokker.formulation import Report
from fokker.randomness import Randomness

# The keys tell whether data have one dimension. A flow is then a map between quantiles; otherwise
# it is an ODE at rtol 1e-8, which is so slow that fewer points are taken.
BUDGET_POINTS = {True: 2_000, False: 200}
#: The terms that every budget has.
TERMS = ("truncation", "prior", "discretisation", "learning", "measured")


def no_budget(model: Model, sampler: Sampler, name: str) -> str:
    """Say why a run has no error budget, or return an empty string if it can have one."""
    if not model.data.fresh or model.data.law is None:
        return "the data's law is not known"
    if model.data.law.dim > 1 and not sampler.is_deterministic:
        return (
            f"sampler={name} is stochastic; in more than one dimension the error of a "
            "deterministic one can be split, such as sampler=heun"
        )
    return ""


def budget_report(
    model: Model,
    sampler: Sampler,
    nodes: Tensor,
    name: str,
    points: int | None,
    num_samples: int,
    seed: int,
) -> Report:
    """Return the error budget of a model and its sampling.

    Args:
        model: a model on data of a known law.
        sampler, nodes, name: the sampler, its grid points and its name.
        points: the number of starts; null: as many as samples, at most 2,000 in one dimension and
            200 in more.
        num_samples: the number of the run's samples.
        seed: the run's seed.
    """
    one_dimensional = model.data.law is not None and model.data.law.dim == 1
    count = min(num_samples, BUDGET_POINTS[one_dimensional]) if points is None else points
    budget = error_budget(model, sampler, nodes, count, Randomness(seed))
    rows = budget.rows()
    steps = "its own steps" if sampler.adaptive else f"{len(nodes) - 1} steps"
    starts = "quantiles" if one_dimensional else "starts"
    units = model.data.unit_label
    notes = ["signed displacements add exactly to the measured one; their norms do not add"]
    if one_dimensional and not sampler.is_deterministic:
        notes.append(f"discretisation contains the sampling noise of {count} samples")
    part = {str(row["term"]): float(row["rms"]) for row in rows}
    if part["learning"] > 3 * part.get("learning, N to infinity", math.inf):
        notes.append(
            "learning is far above its limit: these steps lead the network where it was not trained"
        )
    return Report(
        name="error_budget",
        title=f"error budget of {name}, {steps}, {count} {starts}, in {units}",
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
