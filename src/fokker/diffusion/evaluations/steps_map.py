"""`evaluation=steps_map`: the samples' law against the number of steps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from matplotlib.figure import Figure
from torch import Tensor

from fokker.diffusion.analysis.marginal_errors import sampling_noise
from fokker.diffusion.evaluations.noised import histogram, need_at_least, need_memory
from fokker.diffusion.formulations import Diffusion, SamplerWay
from fokker.evaluations.base import Evaluation
from fokker.evaluations.sample import check_finite, draw_samples
from fokker.formulation import Report
from fokker.measures import Measure
from fokker.metrics import Wasserstein1
from fokker.randomness import Randomness

# The margin of the bins beyond the data on each side, as a share of the data's width.
MARGIN = 0.25


@final
@dataclass(frozen=True)
class StepsMap(Evaluation):
    """The histogram of samples, and their W1 to the data, at each number of steps N.

    The run's own sampler and grid are rebuilt with each N, and start from the same noise; a
    stochastic sampler follows the same Brownian paths. The data have one dimension. The bins go a
    quarter of the data's width beyond the data on each side; a density is a share of all samples,
    also of those outside.

    Args:
        num_steps: all numbers of steps N.
        num_points: the number of samples for each N.
        num_bins: the number of bins of a histogram.
    Raises:
        ValueError: if a number is too small, there is no N, or one is given twice.
    """

    of: ClassVar[type] = Diffusion
    num_steps: Sequence[int] = (3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100)
    num_points: int = 10_000
    num_bins: int = 120

    def __post_init__(self) -> None:
        need_at_least("steps_map", {"num_points": 2, "num_bins": 2}, self)
        steps = list(self.num_steps)
        if not steps or min(steps) < 1 or len(set(steps)) < len(steps):
            raise ValueError(
                "evaluation.steps_map.num_steps must list different numbers of steps of at least "
                f"1, such as [5,10,20], got {steps}"
            )

    def check(self, model: Diffusion, way: SamplerWay) -> None:
        """Refuse data in more dimensions, an adaptive sampler, and an N that the grid refuses."""
        if math.prod(model.data.shape) != 1:
            raise ValueError(
                "evaluation=steps_map needs data in one dimension, got samples of shape "
                f"{model.data.shape}; choose data=uniform, gaussian or mixture"
            )
        if way.sampler.adaptive:
            raise ValueError(
                f"evaluation=steps_map needs a sampler with a number of steps, got "
                f"sampler={way.name}, which chooses its own; choose one such as sampler=heun"
            )
        # Memory for the samples and the data that they are compared with.
        need_memory("steps_map", "num_points", self.num_points, 2 * self.num_points)
        bins = self.num_bins * len(self.num_steps)
        need_memory("steps_map", "num_bins", self.num_bins, bins)
        self._ways(way)

    def _ways(self, way: SamplerWay) -> list[SamplerWay]:
        """Return the run's own way to sample with each N, ascending."""
        found = []
        for num_steps in sorted(self.num_steps):
            try:
                found.append(way.with_steps(num_steps))
            except ValueError as error:
                key = "evaluation.steps_map.num_steps"
                raise ValueError(str(error).replace("sampler.num_steps", key)) from error
        return found

    def measures(self, model: Diffusion, way: SamplerWay) -> Mapping[str, Measure]:
        """Return no measures: each number belongs to one noise level or number of steps."""
        return {}

    def __call__(self, model: Diffusion, way: SamplerWay, randomness: Randomness) -> Report:
        """Report the histograms and W1 of a model that is ready."""
        data = model.data
        reference = data.reference(self.num_points).flatten()
        low, high = float(reference.min()), float(reference.max())
        margin = MARGIN * (high - low)
        edges = torch.linspace(low - margin, high + margin, self.num_bins + 1, dtype=torch.float64)
        metric = Wasserstein1(reference[:, None])
        rows: list[dict[str, Any]] = []
        densities = []
        for each in self._ways(way):
            samples = draw_samples(each, self.num_points, randomness.seed)
            check_finite(samples, each)
            metric.reset()
            metric.update(samples.points.flatten(1))
            density, outside = histogram(samples.points.flatten(), edges)
            densities.append(density)
            rows.append(
                {
                    "num_steps": each.num_steps,
                    "nfe": samples.nfe,
                    "w1": float(metric.compute()),
                    "outside": outside,
                }
            )
        arrays = {
            "num_steps": torch.tensor([row["num_steps"] for row in rows]),
            "nfe": torch.tensor([row["nfe"] for row in rows]),
            "w1": torch.tensor([row["w1"] for row in rows], dtype=torch.float64),
            "outside": torch.tensor([row["outside"] for row in rows]),
            "edges": edges,
            "sampled": torch.stack(densities),
            "data": histogram(reference, edges)[0],
        }
        notes = [f"outside: samples beyond {edges[0]:.4g} to {edges[-1]:.4g}, which the map shows"]
        if data.fresh and data.law is not None and way.is_random:
            law = data.law
            floor = sampling_noise(law, self.num_points, 0.0) * math.sqrt(float(law.variance))
            arrays["sampling_noise"] = torch.tensor(floor, dtype=torch.float64)
            notes.append(f"w1 of as many exact samples: {floor:.2g}")
        return Report(
            name="steps_map",
            title=f"{self.num_points} samples of {way.name} at each number of steps, "
            f"in {data.unit_label}",
            rows=rows,
            notes=notes,
            arrays=arrays,
            figure=lambda: _figure(arrays, data.unit_label),
        )


def _figure(arrays: dict[str, Tensor], units: str) -> Figure:
    from fokker.figures import steps_maps

    return steps_maps({"": arrays}, units=units)
