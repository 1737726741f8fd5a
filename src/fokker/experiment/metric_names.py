"""The names of the metrics that a run will have, before anything is trained."""

import warnings
from collections.abc import Collection

from fokker.evaluations.evaluate import SampleMetrics
from fokker.experiment.experiment import Experiment
from fokker.measures import ERROR
from fokker.training.validation import OWN_LOSS


def metric_names(experiment: Experiment) -> list[str] | None:
    """Return the names in metrics.json that tell runs apart; None if they cannot be known.

    They cannot be known if an evaluation of the user's own has no `measures` to say them before the
    run.
    """
    model, own = experiment.model, experiment.plan.ways[0]
    measured = SampleMetrics.of(model.data, experiment.plan.num_samples).distances
    names = ["nfe", *measured, *model.measures(own, experiment.plan.budget_points)]
    for evaluation in experiment.plan.evaluations.values():
        measures = getattr(evaluation, "measures", None)
        if measures is None:
            return None
        names += measures(model, own)
    return names


def warn_of_measures(
    experiment: Experiment, validated: Collection[str], metrics: Collection[str]
) -> None:
    """Warn if the `measures` of a formulation name other numbers than its run has.

    Args:
        experiment: the experiment of the run.
        validated: the names of the numbers that `Formulation.validation` gave.
        metrics: the names of all numbers of the run.
    """
    model, plan = experiment.model, experiment.plan
    said = model.measures(plan.ways[0], plan.budget_points)
    for names, words in (
        ({*said} - {*metrics}, "which the run has not: an objective would find none"),
        (
            {name for name in validated if not name.endswith(ERROR)} - {*said},
            "which it does not say: no objective may name them",
        ),
    ):
        if names:
            warnings.warn(
                f"{type(model).__name__}.measures must say the numbers of a run, got "
                f"{', '.join(sorted(names))}, {words}; mend it",
                stacklevel=2,
            )


def curve_steps(experiment: Experiment) -> dict[str, int]:
    """Return the names in a curve that tell trainings apart, each with its interval in steps.

    There are none if nothing is trained.
    """
    if not experiment.origin.is_training:
        return {}
    intervals, own = experiment.task.intervals, experiment.plan.ways[0]
    measures = experiment.model.measures(own, 0)
    validated = [name for name, m in measures.items() if m.is_of_model and name not in OWN_LOSS]
    is_known = "excess" in measures
    return {
        **dict.fromkeys([*validated, *(["ema_excess"] if is_known else [])],
                        intervals.validation_steps),
        **dict.fromkeys(["loss", *(["excess"] if is_known else [])], intervals.log_steps),
    }  # fmt: skip
