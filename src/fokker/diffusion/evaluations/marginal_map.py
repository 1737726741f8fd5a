"""`evaluation=marginal_map`: the density p_t(x) over time, exact and sampled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from matplotlib.figure import Figure
from torch import Tensor

from fokker.diffusion.analysis.marginal_errors import relative_w1
from fokker.diffusion.evaluations.noised import (
    NoisedLaw,
    histogram,
    lag_note,
    need_at_least,
    need_known_line,
    need_memory,
    need_steps,
    node_places,
)
from fokker.diffusion.formulations import Diffusion, SamplerWay
from fokker.evaluations.base import Evaluation
from fokker.formulation import Report
from fokker.measures import Measure
from fokker.randomness import Randomness

# The half-width of the bins around the mean of x_t, in its standard deviations.
STDS = 4.0
ROWS = 8


@final
@dataclass(frozen=True)
class MarginalMap(Evaluation):
    """The density p_t(x) of x_t at every grid point of the run, in one dimension.

    The exact density is compared with a histogram of the states of the run's own sampler. A
    deterministic sampler starts at evenly spread quantiles of its prior, so that its histogram has
    no sampling noise. The bins of a grid point go 4 standard deviations of the exact p_t to either
    side; a density is a share of all points, also of those outside. All are in the data's units: x
    is `shift + scale x_t`. The last grid point, sigma = 0, is left out: it has no time.

    Args:
        num_points: the number of samples.
        num_bins: the number of bins at each grid point.
    Raises:
        ValueError: if a number is too small.
    """

    of: ClassVar[type] = Diffusion
    num_points: int = 10_000
    num_bins: int = 80

    def __post_init__(self) -> None:
        need_at_least("marginal_map", {"num_points": 2, "num_bins": 2}, self)

    def check(self, model: Diffusion, way: SamplerWay) -> None:
        """Refuse data in more dimensions or of unknown law, and a sampler without a grid."""
        need_known_line("marginal_map", model)
        need_steps("marginal_map", way)
        need_memory("marginal_map", "num_points", self.num_points, 2 * self.num_points)
        # Memory for edges and densities at each grid point.
        numbers = 2 * self.num_bins * len(way.nodes)
        need_memory("marginal_map", "num_bins", self.num_bins, numbers)

    def measures(self, model: Diffusion, way: SamplerWay) -> Mapping[str, Measure]:
        """Return no measures: each number belongs to one noise level or number of steps."""
        return {}

    def __call__(self, model: Diffusion, way: SamplerWay, randomness: Randomness) -> Report:
        """Report the densities of a model that is ready."""
        known, nodes = NoisedLaw.of(model.data), way.nodes
        law = model.data.model_law
        if law is None:
            raise ValueError("evaluation=marginal_map needs data of known law")
        sigma = nodes[:-1]
        t, s = node_places(way.sampler.sde, nodes)
        edges = known.fan(s, sigma, STDS, self.num_bins + 1)
        last = len(sigma) - 1
        spread = torch.linspace(0, last, min(ROWS, last + 1), dtype=torch.float64)
        shown = sorted({round(place) for place in spread.tolist()})
        densities: list[Tensor] = []
        outside: list[int] = []
        rows: list[dict[str, Any]] = []

        def watch(i: int, y: Tensor) -> None:
            if i > last:
                return
            x = model.data.to_data(float(s[i]) * y.flatten().cpu().double())
            density, count = histogram(x, edges[i])
            densities.append(density)
            outside.append(count)
            if i in shown:
                rows.append(
                    {
                        "step": i,
                        "sigma": float(sigma[i]),
                        "t": float(t[i]),
                        "std": float(x.std(correction=0)),
                        "exact_std": known.std(float(s[i]), float(sigma[i])),
                        "w1_over_std": relative_w1(law, y.flatten().cpu(), float(sigma[i])),
                        "outside": count,
                    }
                )

        # Without randomness in the starts, errors are those of the model or the sampler.
        way.from_quantiles.sample(randomness, 0, self.num_points, self.num_points, watch)
        arrays = {
            "t": t, "sigma": sigma, "edges": edges,
            "exact": known.densities(edges, s, sigma), "sampled": torch.stack(densities),
            "outside": torch.tensor(outside),
        }  # fmt: skip
        return Report(
            name="marginal_map",
            title=f"p_t of {self.num_points} samples on their way, at the nodes of the grid, "
            f"in {model.data.unit_label}",
            rows=rows,
            notes=[
                "a deterministic sampler starts at quantiles and has no sampling noise",
                f"outside: samples more than {STDS:g} exact standard deviations off the mean",
                *lag_note(way),
            ],
            arrays=arrays,
            figure=lambda: _figure(arrays, model.data.unit_label),
        )


def _figure(arrays: dict[str, Tensor], units: str) -> Figure:
    from fokker.figures import marginal_maps

    return marginal_maps({"": arrays}, units=units)
