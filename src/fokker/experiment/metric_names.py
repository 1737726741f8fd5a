"""Which metrics a run will have, before anything is trained."""

from fokker.evaluations.evaluate import SampleMetrics
from fokker.experiment.experiment import Experiment
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
