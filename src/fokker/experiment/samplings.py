"""The samples of every way to sample that a run asks for, and a row for each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, final

from fokker.evaluations.evaluate import SampleMetrics
from fokker.evaluations.far_off import how_far_off
from fokker.evaluations.sample import Samples, check_finite, draw_samples
from fokker.experiment.experiment import Experiment
from fokker.formulation import Way
from fokker.machine.device import described
from fokker.machine.progress import nobody


@final
@dataclass(frozen=True)
class Evaluated:
    """The results of a run's samplings, which are empty in ranks other than the first.

    Attributes:
        rows: the rows of evaluations.csv, one for each way to sample.
        of_data: the distances of as many points of the data, as `<metric>_data`.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    of_data: dict[str, float] = field(default_factory=dict)


def words(way: Way) -> str:
    """Describe a way to sample for a heading: `heun, N = 18, edm_rho`."""
    steps = [] if way.num_steps is None else [f"N = {way.num_steps}"]
    first, *others = way.labels.values()
    return ", ".join([first, *steps, *others])


def draw(experiment: Experiment, way: Way, say: Callable[[str], None] = nobody) -> Samples:
    """Draw this rank's part of the samples of a way; the first rank gets all of them."""
    plan, task = experiment.plan, experiment.task
    say(f"sampling {plan.num_samples:,} by {words(way)}, on {described(task.device)}")
    return draw_samples(way, plan.num_samples, plan.seed, plan.batch_size, task.ranks, say)


def evaluate(
    experiment: Experiment,
    own: Samples,
    keep: Callable[[list[dict[str, Any]]], None],
    say: Callable[[str], None],
) -> Evaluated:
    """Sample by each way, and measure a row for each in the first rank.

    Args:
        experiment: the experiment, whose ways to sample are evaluated.
        own: the samples of the first way.
        keep: the function that gets the rows so far after each of them, so that a failure leaves
            them.
        say: the function that prints which metrics are left out, and which samples are far off.
    Raises:
        ValueError: if a sample is not finite. An error of the first rank is raised in all.
    """
    # Both are made at their first use, which only the first rank has.
    metrics = cache(partial(_prepared, experiment, say))
    far_off = cache(partial(how_far_off, experiment.model.data, experiment.plan.num_samples))
    found = Evaluated()

    def add(way: Way, samples: Samples) -> None:
        check_finite(samples, way)
        if how_far := far_off()(samples.points):
            say(
                f"far off  {way.name} in {samples.nfe:.4g} evaluations{_others(way)}: {how_far}; "
                f"take more steps, another {' or '.join([*way.labels][::-1])}, or mend the "
                "training or train longer"
            )
        row = {
            **way.labels,
            "num_steps": way.num_steps,
            "nfe": samples.nfe,
            "weights": experiment.plan.weights,
            **metrics()(samples.points, way.is_random, way.group),
        }
        exact = added(row, way.exact(), f"{type(way).__name__}.exact")
        found.rows.append({**row, **exact, "seconds": samples.seconds})
        keep(found.rows)

    def measure_data() -> None:
        data, count = experiment.model.data, experiment.plan.num_samples
        found.of_data.update(metrics().of_data(data, count))

    for place, way in enumerate(experiment.plan.ways):
        samples = draw(experiment, way, say) if place > 0 else own
        experiment.task.ranks.first_says(partial(add, way, samples))
    experiment.task.ranks.first_says(measure_data)
    return found


def added(
    known: Mapping[str, object], numbers: Mapping[str, float], whose: str
) -> Mapping[str, float]:
    """Return numbers that are to be added to others; refuse one that would replace another.

    Raises:
        ValueError: if a name is known.
    """
    if twice := sorted(known.keys() & numbers.keys()):
        raise ValueError(
            f"numbers of {whose} must have names of their own, got {', '.join(twice)}, which the "
            "run has already"
        )
    return numbers


def _others(way: Way) -> str:
    """Describe a way to sample without its first part: ` on grid edm_rho`."""
    others = [f"{group} {label}" for group, label in way.labels.items()][1:]
    return f" on {', '.join(others)}" if others else ""


def _prepared(experiment: Experiment, say: Callable[[str], None]) -> SampleMetrics:
    plan = experiment.plan
    for name, why in plan.left_out.items():
        say(f"no {name}: {why}")
    return SampleMetrics.of(plan.metrics, experiment.model.data, plan.num_samples)
