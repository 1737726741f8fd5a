"""Which metrics a run will have, before anything is trained."""

import warnings
from collections.abc import Collection

from fokker.evaluations.evaluate import SampleMetrics
from fokker.experiment.experiment import Experiment
from fokker.measures import ERROR
from fokker.training.validation import OWN_LOSS


def metric_names(experiment: Experiment) -> list[str] | None:
    """The single numbers of metrics.json that tell runs apart; none if they cannot be known.

    They cannot with an evaluation of the user's own, which says after the run what it found, unless
    it says before by `measures`.
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
    """Warn where a formulation says by `measures` other numbers than its run has.

    Args:
        experiment: of the run.
        validated: names of what `Formulation.validation` gave.
        metrics: names of all numbers of the run.
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
    """What the training curve will hold that tells trainings apart, and every how many steps.

    Nothing where nothing is trained.
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
