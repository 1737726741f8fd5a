"""`evaluation=chain`: the run's samples at several grid points between noise and data."""

import math
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
    need_memory,
    need_steps,
)
from fokker.diffusion.formulations import Diffusion, SamplerWay
from fokker.evaluations.base import Evaluation
from fokker.evaluations.sample import PATH_POINTS
from fokker.formulation import Report
from fokker.measures import Measure
from fokker.randomness import Randomness

# The half-width of the histograms, in standard deviations of x_t.
STDS = 3.5
# Up to this ratio of standard deviations all histograms share one axis.
ONE_AXIS = 4.0


@final
@dataclass(frozen=True)
class Chain(Evaluation):
    """The states x_t of the run's own sampler at evenly spread grid points, from start to sample.

    The report has histograms of all points in one dimension, and the points in two and three. They
    are compared with the exact density in one dimension where the law is known, and otherwise with
    the forward process: held-out data, noised to the same level. All are in the data's units:
    `shift + scale x_t`, with `x_t = s (x0 + sigma n)` of the standardised data along the sampler's
    SDE.

    Args:
        num_points: the number of samples.
        num_panels: the number of grid points.
        num_bins: the number of bins of a histogram.
    Raises:
        ValueError: if a number is too small, or there are more than 12 panels.
    """

    of: ClassVar[type] = Diffusion
    num_points: int = 10_000
    num_panels: int = 8
    num_bins: int = 80

    def __post_init__(self) -> None:
        need_at_least("chain", {"num_points": 2, "num_panels": 2, "num_bins": 2}, self)
        if self.num_panels > 12:
            raise ValueError(
                f"evaluation.chain.num_panels must be at most 12, got {self.num_panels}: more are "
                "too small to read"
            )

    def check(self, model: Diffusion, way: SamplerWay) -> None:
        """Refuse data in more than three dimensions, and a sampler without a grid."""
        shape = model.data.shape
        if len(shape) != 1 or shape[0] > 3:
            raise ValueError(
                f"evaluation=chain needs data in one, two or three dimensions, got samples of "
                f"shape {shape}; the figure trajectory of every run shows them on their way"
            )
        need_steps("chain", way)
        panels = min(self.num_panels, len(way.nodes))
        need_memory("chain", "num_points", self.num_points, self.num_points * shape[0] * panels)
        need_memory("chain", "num_bins", self.num_bins, 2 * self.num_bins * panels)

    def measures(self, model: Diffusion, way: SamplerWay) -> Mapping[str, Measure]:
        """Return no measures: each number belongs to one noise level or number of steps."""
        return {}

    def __call__(self, model: Diffusion, way: SamplerWay, randomness: Randomness) -> Report:
        """Report the states of a model that is ready."""
        data, sde, nodes = model.data, way.sampler.sde, way.nodes
        last = len(nodes) - 1
        spread = torch.linspace(0, last, min(self.num_panels, last + 1), dtype=torch.float64)
        shown = sorted({round(place) for place in spread.tolist()})
        sigma = nodes[shown]
        # The last grid point has no time in some SDEs; there x_t is the sample itself.
        t = torch.cat([sde.time(sigma[:-1]), torch.full((1,), math.nan, dtype=torch.float64)])
        s = torch.cat([sde.scale(t[:-1]), torch.ones(1, dtype=torch.float64)])
        states: list[Tensor] = []

        def watch(i: int, y: Tensor) -> None:
            if i in shown:
                x_t = float(s[len(states)]) * y.flatten(1).cpu().double()
                states.append(data.to_data(x_t))

        way.sample(randomness, 0, self.num_points, self.num_points, watch)
        forward = self._forward(model, s, sigma, randomness)
        rows: list[dict[str, Any]] = []
        law = data.model_law if data.fresh and data.shape == (1,) else None
        for k, (x, y) in enumerate(zip(states, forward, strict=True)):
            row: dict[str, Any] = {
                "step": shown[k],
                "sigma": float(sigma[k]),
                "t": float(t[k]),
                "std": _std(x),
                "forward_std": _std(y),
            }
            if law is not None:
                here = ((x - data.shift) / data.scale / s[k]).flatten()
                row["w1_over_std"] = relative_w1(law, here, float(sigma[k]))
            rows.append(row)
        steps = torch.tensor(shown)
        common = {"step": steps, "sigma": sigma, "t": t}
        notes = ["the last state, sigma = 0, is the sample: it has no t", *lag_note(way)]
        if data.shape == (1,):
            arrays = common | self._histograms(model, states, forward, s, sigma)
            count = int(arrays["outside"].sum())
            notes.append(f"{count} of {len(shown) * self.num_points} points are outside the bins")
        else:
            kept = [torch.stack([x[:PATH_POINTS] for x in part]) for part in (states, forward)]
            arrays = common | {"states": kept[0], "forward": kept[1]}
        name = "exact density" if law is not None else "data, noised"
        return Report(
            name="chain",
            title=f"{self.num_points} samples of {way.name} on their way, "
            f"in {data.unit_label}",
            rows=rows,
            notes=notes,
            arrays=arrays,
            figure=lambda: _figure(arrays, name, data.unit_label),
        )

    def _forward(
        self, model: Diffusion, s: Tensor, sigma: Tensor, randomness: Randomness
    ) -> list[Tensor]:
        """Return held-out data noised to each level, in the data's units, (n, d) each."""
        data = model.data
        x = ((data.held_out(self.num_points).x - data.shift) / data.scale).flatten(1)
        noise = randomness.normal("validation", 0, len(x), data.shape).flatten(1).double()
        levels = zip(s.tolist(), sigma.tolist(), strict=True)
        return [data.to_data(scale * (x + level * noise)) for scale, level in levels]

    def _histograms(
        self,
        model: Diffusion,
        states: list[Tensor],
        forward: list[Tensor],
        s: Tensor,
        sigma: Tensor,
    ) -> dict[str, Tensor]:
        """Return the bins, and the densities of the samples and of their comparison, by name."""
        centres = torch.stack([x.mean() for x in forward])
        reach = STDS * torch.stack([x.std(correction=0) for x in forward])
        if reach.max() <= ONE_AXIS * reach.min():
            low, high = (centres - reach).min(), (centres + reach).max()
            centres, reach = ((low + high) / 2).expand(len(s)), ((high - low) / 2).expand(len(s))
        bins = torch.linspace(-1, 1, self.num_bins + 1, dtype=torch.float64)
        edges = centres[:, None] + reach[:, None] * bins
        sampled = [histogram(x.flatten(), row) for x, row in zip(states, edges, strict=True)]
        if model.data.fresh and model.data.law is not None:
            beside = NoisedLaw.of(model.data).densities(edges, s, sigma)
        else:
            pairs = zip(forward, edges, strict=True)
            beside = torch.stack([histogram(x.flatten(), row)[0] for x, row in pairs])
        return {
            "edges": edges,
            "sampled": torch.stack([density for density, _ in sampled]),
            "beside": beside,
            "outside": torch.tensor([count for _, count in sampled]),
        }


def _std(x: Tensor) -> float:
    """Return the root of the mean variance of the coordinates."""
    return float(x.var(dim=0, correction=0).mean().sqrt())


def _figure(arrays: dict[str, Tensor], name: str, units: str) -> Figure:
    from fokker.figures import chain_histograms, chain_points

    steps, sigma = arrays["step"], arrays["sigma"]
    if "edges" in arrays:
        return chain_histograms(
            arrays["edges"], arrays["sampled"], arrays["beside"], steps, sigma, ("samples", name),
            units,
        )  # fmt: skip
    return chain_points(arrays["states"], arrays["forward"], steps, sigma, units=units)
