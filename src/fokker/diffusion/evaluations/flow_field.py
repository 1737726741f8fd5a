"""`evaluation=flow_field`: the probability flow of x_t, exact and learned."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from matplotlib.figure import Figure
from torch import Tensor

from fokker.diffusion.denoiser import DenoiserFunction, ExactDenoiser
from fokker.diffusion.evaluations.noised import (
    NoisedLaw,
    need_at_least,
    need_known_line,
    need_memory,
)
from fokker.diffusion.formulations import Diffusion, SamplerWay
from fokker.diffusion.samplers import GivenStart, Heun, StartLaw
from fokker.diffusion.sde import SDE
from fokker.evaluations.base import Evaluation
from fokker.formulation import Report
from fokker.measures import Measure
from fokker.randomness import Randomness

# The half-width of the field around the mean of x_t, in its standard deviations.
STDS = 3.0
QUANTILES = 256
ROWS = 8


def flow(denoiser: DenoiserFunction, sde: SDE, t: Tensor, x: Tensor) -> Tensor:
    """Return `dx/dt = a x + b D(x/s; sigma)`, the probability flow of x_t, (b, n).

    Args:
        denoiser: D(y; sigma), of y (n, 1).
        sde: the SDE that gives a and b (Karras 2022, eq. 81).
        t: the times, (b,), float64.
        x: the places at each of the times, (b, n), in standardised units.
    """
    rows = []
    for time, places in zip(t, x, strict=True):
        a, b = sde.velocity(time)
        y = (places / sde.scale(time))[:, None]
        rows.append(a * places + b * denoiser(y, sde.sigma(time))[:, 0])
    return torch.stack(rows)


@final
@dataclass(frozen=True)
class FlowField(Evaluation):
    """The field dx/dt of the sampler's SDE over t and x, exact and learned, in one dimension.

    The report has paths of the two flows too, from the same quantiles of the exact p_T. Times are
    even in ln sigma over the range of the run's grid; x goes 3 standard deviations of x_t to either
    side. All are in the data's units: x is `shift + scale x_t`.

    Args:
        num_times: the number of times of the field, and of (Heun's) steps of the paths.
        num_places: the number of x at each time.
        num_paths: the number of paths of each flow.
    Raises:
        ValueError: if a number is too small.
    """

    of: ClassVar[type] = Diffusion
    num_times: int = 200
    num_places: int = 81
    num_paths: int = 9

    def __post_init__(self) -> None:
        least = {"num_times": 10, "num_places": 3, "num_paths": 1}
        need_at_least("flow_field", least, self)

    def check(self, model: Diffusion, way: SamplerWay) -> None:
        """Refuse data in more dimensions or of unknown law, or a grid of one step."""
        need_known_line("flow_field", model)
        if len(way.nodes) < 3:
            raise ValueError("evaluation=flow_field needs a grid of at least 2 steps, got 1")
        sizes = {"num_times": self.num_times, "num_places": self.num_places}
        key = max(sizes, key=lambda name: sizes[name])
        # Memory for the places, and two fields on them.
        need_memory("flow_field", key, sizes[key], 3 * self.num_times * self.num_places)
        paths = 2 * self.num_times * self.num_paths
        need_memory("flow_field", "num_paths", self.num_paths, paths)

    def measures(self, model: Diffusion, way: SamplerWay) -> Mapping[str, Measure]:
        """Return no measures: each number belongs to one noise level or number of steps."""
        return {}

    @torch.no_grad()
    def __call__(self, model: Diffusion, way: SamplerWay, randomness: Randomness) -> Report:
        """Report the fields of a model that is ready."""
        data, sde, known = model.data, way.sampler.sde, NoisedLaw.of(model.data)
        if data.model_law is None:
            raise ValueError("evaluation=flow_field needs data of known law")
        exact, learned = ExactDenoiser(data.model_law), model.denoiser
        high, low = way.nodes[[0, -2]].log()
        sigma = torch.linspace(high, low, self.num_times, dtype=torch.float64).exp()
        t = sde.time(sigma)
        s = sde.scale(t)
        x = known.fan(s, sigma, STDS, self.num_places)

        def field(denoiser: DenoiserFunction, x: Tensor) -> Tensor:
            return data.scale * flow(denoiser, sde, t, (x - data.shift) / data.scale)

        fields = {"exact": field(exact, x), "learned": field(learned, x)}
        u = (torch.arange(self.num_paths, dtype=torch.float64) + 0.5) / self.num_paths
        levels = list(zip(s.tolist(), sigma.tolist(), strict=True))
        exact_paths = torch.stack([known.quantile(u, *level) for level in levels])
        starts = data.model_law.quantile(u, levels[0][1])
        learned_paths = data.to_data(s[:, None] * self._paths(learned, sde, sigma, starts))
        where = (torch.arange(QUANTILES, dtype=torch.float64) + 0.5) / QUANTILES
        likely = torch.stack([known.quantile(where, *level) for level in levels])
        speed = field(exact, likely)
        error = field(learned, likely) - speed
        rows: list[dict[str, Any]] = [
            {
                "sigma": float(sigma[i]),
                "t": float(t[i]),
                "speed": float(speed[i].square().mean().sqrt()),
                "error": float(error[i].square().mean().sqrt()),
            }
            for i in torch.linspace(0, self.num_times - 1, ROWS).round().long().tolist()
        ]
        notes = ["speed: r.m.s. dx/dt of the exact flow over p_t; error: learned minus exact"]
        if model.is_exact:
            notes.append("network=exact: the learned flow is that of the ideal denoiser")
        if not way.sampler.is_deterministic:
            notes.append(
                f"sampler={way.name} is stochastic: it has the same p_t as this flow, and "
                "other paths"
            )
        arrays = {
            "t": t, "sigma": sigma, "x": x, **fields, "u": u,
            "exact_paths": exact_paths, "learned_paths": learned_paths,
        }  # fmt: skip
        second = "ideal denoiser" if model.is_exact else "learned"
        return Report(
            name="flow_field",
            title=f"flow field dx/dt, {data.unit_label} per unit of t",
            rows=rows,
            notes=notes,
            arrays=arrays,
            figure=lambda: _figure(arrays, second, data.unit_label),
        )

    def _paths(
        self, denoiser: DenoiserFunction, sde: SDE, sigma: Tensor, starts: Tensor
    ) -> Tensor:
        """Return y of the learned flow at each sigma, (b, k), from starts (k,)."""
        states: list[Tensor] = []
        start = GivenStart((starts / sigma[0])[:, None])
        law = StartLaw(torch.zeros(1), torch.zeros(1))
        nodes = torch.cat([sigma, torch.zeros(1, dtype=torch.float64)])
        Heun(sde, len(sigma))(
            denoiser, nodes, law, start, lambda i, y: states.append(y[:, 0].double())
        )
        return torch.stack(states[:-1])


def _figure(arrays: dict[str, Tensor], second: str, units: str) -> Figure:
    from fokker.figures import flow_fields

    return flow_fields({"": arrays}, ("exact", second), units)
