"""The samples of every way to sample that a run asks for, and a row for each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, final

from fokker.device import described
from fokker.experiment.evaluate import SampleMetrics
from fokker.experiment.experiment import Experiment
from fokker.experiment.far_off import FarOff
from fokker.experiment.reports import exact_distances
from fokker.experiment.sample import Samples, Sampling, check_finite, draw_samples
from fokker.progress import nobody


@final
@dataclass(frozen=True)
class Evaluated:
    """What the samplings of a run came to; nothing in ranks other than the first.

    Attributes:
        rows: one for each way to sample.
        of_data: the distances of as many points of the data, as `<metric>_data`.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    of_data: dict[str, float] = field(default_factory=dict)


def words(sampling: Sampling) -> str:
    """A way to sample, in a heading."""
    steps = "" if sampling.num_steps is None else f", N = {sampling.num_steps}"
    return f"{sampling.name}{steps}, {sampling.grid_name}"


def draw(
    experiment: Experiment, sampling: Sampling, say: Callable[[str], None] = nobody
) -> Samples:
    """This rank's part of a sampling; in the first rank all of it."""
    say(
        f"sampling {experiment.num_samples:,} by {words(sampling)}, on "
        f"{described(experiment.device)}"
    )
    return draw_samples(
        experiment.model, sampling, experiment.num_samples, experiment.seed,
        experiment.batch_size, experiment.ranks, say,
    )  # fmt: skip


def evaluate(
    experiment: Experiment,
    own: Samples,
    keep: Callable[[list[dict[str, Any]]], None],
    say: Callable[[str], None],
) -> Evaluated:
    """A row for each way to sample, measured by the first rank.

    Args:
        experiment: whose samplings are asked for.
        own: the samples of the first sampling.
        keep: is given the rows so far after each of them, so that a failure leaves them.
        say: tells the user what is left out, and which samples are far off.
    Raises:
        ValueError: if a sample is not finite. An error of the first rank is raised in all.
    """
    # Built when they are first asked for, by the first rank alone.
    metrics = cache(partial(_metrics, experiment, say))
    far_off = cache(partial(FarOff, experiment.model.data, experiment.num_samples))
    found = Evaluated()

    def add(sampling: Sampling, samples: Samples) -> None:
        check_finite(samples, sampling)
        if how_far := far_off().sentence(samples.points):
            say(
                f"far off  {sampling.name} in {samples.nfe:.4g} evaluations on grid "
                f"{sampling.grid_name}: {how_far}; take more steps, another grid or sampler, or "
                "mend the training or train longer"
            )
        found.rows.append(
            {
                "sampler": sampling.name,
                "grid": sampling.grid_name,
                "num_steps": sampling.num_steps,
                "nfe": samples.nfe,
                "weights": experiment.weights,
                **metrics()(samples.points, by_chance=not sampling.at_quantiles),
                **exact_distances(experiment.model, sampling),
                "seconds": samples.seconds,
            }
        )
        keep(found.rows)

    def measure_data() -> None:
        data, count = experiment.model.data, experiment.num_samples
        found.of_data.update(metrics().of_data(data, count))

    for place, sampling in enumerate(experiment.samplings):
        samples = draw(experiment, sampling, say) if place > 0 else own
        experiment.ranks.first_says(partial(add, sampling, samples))
    experiment.ranks.first_says(measure_data)
    return found


def _metrics(experiment: Experiment, say: Callable[[str], None]) -> SampleMetrics:
    made = SampleMetrics.of(experiment.model.data, experiment.num_samples)
    for name, why in made.left_out.items():
        say(f"no {name}: {why}")
    return made
