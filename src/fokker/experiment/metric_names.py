"""The measures that a run will have, before anything is trained."""

import warnings
from collections.abc import Collection, Iterable

from fokker.evaluations import Evaluation
from fokker.experiment.experiment import Experiment
from fokker.formulation import Formulation, Report, Way
from fokker.machine.own_code import own_code
from fokker.measures import ERROR, Measure, measure_of
from fokker.training.validation import OWN_LOSS

#: The columns of evaluations.csv that say how samples were made.
_HOW = ("num_steps", "nfe", "weights", "seconds")


def measures_of(experiment: Experiment) -> dict[str, Measure]:
    """Return the numbers in metrics.json that tell runs apart, by name, with what they measure."""
    model, plan = experiment.model, experiment.plan
    own, evaluations = plan.ways[0], plan.evaluations.values()
    return {
        "nfe": measure_of("nfe"),
        **{name: metric.measure for name, metric in plan.metrics.items()},
        **_of_model(model, own, plan.budget_points, evaluations),
    }


def other_names(
    model: Formulation, own: Way, points: int | None, evaluations: Iterable[Evaluation]
) -> set[str]:
    """Return the names that a run's numbers and columns have besides its metrics of samples."""
    return {*_HOW, *own.labels, *_of_model(model, own, points, evaluations)}


def _of_model(
    model: Formulation, own: Way, points: int | None, evaluations: Iterable[Evaluation]
) -> dict[str, Measure]:
    """Return the measures of a model and of its evaluations."""
    found = dict(model.measures(own, points))
    for evaluation in evaluations:
        with own_code(f"{type(evaluation).__name__}.measures cannot be asked", "fix it"):
            found.update(evaluation.measures(model, own))
    return found


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
    _warn(type(model), model.measures(plan.ways[0], plan.budget_points), validated, metrics)


def warn_of_report(evaluation: Evaluation, said: Collection[str], report: Report) -> None:
    """Warn if the `measures` of an evaluation, `said`, name other numbers than its report has."""
    _warn(type(evaluation), said, report.metrics, report.metrics)


def _warn(
    kind: type, said: Collection[str], given: Collection[str], metrics: Collection[str]
) -> None:
    """Warn if the `measures` of a class are not what it gave.

    Args:
        kind: the class.
        said: the names that its `measures` has.
        given: the names of the numbers that it gave.
        metrics: the names of the numbers that it may have had in mind.
    """
    for names, words in (
        ({*said} - {*metrics}, "which the run has not: an objective would find none"),
        (
            {name for name in given if not name.endswith(ERROR)} - {*said},
            "which it does not say: no objective may name them",
        ),
    ):
        if names:
            warnings.warn(
                f"{kind.__name__}.measures must say the numbers of a run, got "
                f"{', '.join(sorted(names))}, {words}; fix it",
                stacklevel=3,
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
