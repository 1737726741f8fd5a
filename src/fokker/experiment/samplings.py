"""The samples of every way to sample that a run asks for, and a row for each."""

from collections.abc import Callable
from typing import Any

from fokker.device import described
from fokker.experiment.evaluate import SampleMetrics, relative_spread
from fokker.experiment.experiment import Experiment
from fokker.experiment.reports import exact_distances
from fokker.experiment.sample import Samples, Sampling, draw_samples
from fokker.progress import nobody

#: Times the data's spread, from which on samples are said to be far off.
FAR_OFF = 3


def words(sampling: Sampling) -> str:
    """A way to sample, in a heading."""
    steps = "" if sampling.num_steps is None else f", N = {sampling.num_steps}"
    return f"{sampling.name}{steps}, {sampling.grid_name}"


def draw(
    experiment: Experiment, sampling: Sampling, say: Callable[[str], None] = nobody
) -> Samples:
    """This rank's part of a sampling; in the first rank all of it."""
    return draw_samples(
        experiment.model, sampling, experiment.num_samples, experiment.seed,
        experiment.batch_size, experiment.ranks, say,
    )  # fmt: skip


def evaluate(
    experiment: Experiment, say: Callable[[str], None]
) -> tuple[list[dict[str, Any]], Samples]:
    """A row for each way to sample, and the samples of the first, the run's own."""
    measure = SampleMetrics.of(experiment.model.data, experiment.num_samples)
    for name, why in measure.left_out.items():
        say(f"no {name}: {why}")
    rows: list[dict[str, Any]] = []
    kept: list[Samples] = []
    for sampling in experiment.samplings:
        say(
            f"sampling {experiment.num_samples:,} by {words(sampling)}, on "
            f"{described(experiment.device)}"
        )
        samples = draw(experiment, sampling, say)
        kept = kept or [samples]
        spread = relative_spread(experiment.model.data, samples.points)
        if spread > FAR_OFF:
            say(
                f"far off  {sampling.name} in {samples.nfe:.4g} evaluations on grid "
                f"{sampling.grid_name}: samples lie {spread:.3g} times as far from the mean as "
                "the data; take more steps, another grid or sampler, or mend the training"
            )
        rows.append(
            {
                "sampler": sampling.name,
                "grid": sampling.grid_name,
                "num_steps": sampling.num_steps,
                "nfe": samples.nfe,
                "weights": experiment.weights,
                **measure(samples.points, by_chance=not sampling.at_quantiles),
                **exact_distances(experiment.model, sampling),
                "seconds": samples.seconds,
            }
        )
    return rows, kept[0]
