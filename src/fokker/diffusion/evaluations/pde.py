"""`evaluation=pde`: a test of a model by the equations of diffusion."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from matplotlib.figure import Figure
from torch import Tensor

from fokker.diffusion.analysis.fokker_planck import fokker_planck_residual
from fokker.diffusion.analysis.marginal_errors import (
    forward_errors,
    relative_w1,
    sampling_noise,
    solved_errors,
)
from fokker.diffusion.evaluations.noised import need_memory
from fokker.diffusion.formulations import Diffusion, SamplerWay
from fokker.distributions import Gaussian
from fokker.evaluations.base import Evaluation
from fokker.formulation import Report
from fokker.measures import Measure
from fokker.randomness import Randomness

RESIDUAL_POINTS = 1024


@final
@dataclass(frozen=True)
class PDE(Evaluation):
    """The Fokker-Planck residual of a score, and errors of simulated marginals, in one dimension.

    The report covers some grid points of the run. It has the r.m.s. residual of the score's
    equation (0 for an exact score), and `W1 / std` to p(.; sigma) of four simulations. The forward
    one noises data along the sampler's SDE by Euler-Maruyama, and the backward one is the run's own
    sampler with this model. The other two are solutions of the Fokker-Planck equation, without
    sampling noise: forward, and backward along the model's reverse SDE.

    Args:
        num_points: the number of simulated points.
        num_levels: the number of grid points, spread over the grid.
    Raises:
        ValueError: if a number is too small.
    """

    of: ClassVar[type] = Diffusion
    num_points: int = 10_000
    num_levels: int = 8

    def __post_init__(self) -> None:
        for key, least in (("num_points", 2), ("num_levels", 2)):
            if not getattr(self, key) >= least:
                raise ValueError(
                    f"evaluation.pde.{key} must be at least {least}, got {getattr(self, key)}"
                )

    def check(self, model: Diffusion, way: SamplerWay) -> None:
        """Refuse data in more dimensions, of unknown law, or a grid of one step."""
        law = model.data.law
        if law is None or law.dim != 1 or not model.data.fresh:
            kind = "of a known law" if model.data.fresh else "a finite set"
            raise ValueError(
                "evaluation=pde needs data of a known law in one dimension, got samples of shape "
                f"{model.data.shape}, {kind}; choose data=uniform, gaussian or mixture"
            )
        if len(way.nodes) < 3:
            raise ValueError("evaluation=pde needs a grid of at least 2 steps, got 1")
        levels = min(self.num_levels, len(way.nodes))
        need_memory("pde", "num_points", self.num_points, self.num_points * levels)

    def measures(self, model: Diffusion, way: SamplerWay) -> Mapping[str, Measure]:
        """Return no measures: each number belongs to one noise level or number of steps."""
        return {}

    def __call__(self, model: Diffusion, way: SamplerWay, randomness: Randomness) -> Report:
        """Report the errors of a model that is ready."""
        law, sampler = model.data.model_law, way.sampler
        if law is None:
            raise ValueError("evaluation=pde needs data of known law")
        places = self._places(way)
        sigmas = way.nodes[places].flip(0)
        states: dict[int, Tensor] = {}

        def watch(i: int, y: Tensor) -> None:
            if i in places:
                states[i] = y.flatten().cpu()

        way.from_quantiles.sample(randomness, 0, self.num_points, self.num_points, watch)
        std = sampler.start_std(float(way.nodes[0]), model.start_law).flatten()
        prior = Gaussian(model.start_law.mean.flatten(), std)
        exact = copy.deepcopy(model.denoiser).cpu().double()
        solved = solved_errors(law, exact, prior, sigmas)
        forward = forward_errors(law, sampler.sde, sigmas, self.num_points, randomness)
        rows: list[dict[str, Any]] = []
        for k, (i, sigma) in enumerate(zip(reversed(places), sigmas.tolist(), strict=True)):
            u = (torch.arange(RESIDUAL_POINTS, dtype=torch.float64) + 0.5) / RESIDUAL_POINTS
            residual = fokker_planck_residual(exact, law.quantile(u, sigma), sigma)
            rows.append(
                {
                    "sigma": sigma,
                    "t": float(sampler.sde.time(sigma)),
                    "residual": float(residual.square().mean().sqrt()),
                    "forward": forward[k],
                    "backward": relative_w1(law, states[i], sigma),
                    "forward_pde": solved.forward[k],
                    "backward_pde": solved.backward[k],
                    "sampling_noise": sampling_noise(law, self.num_points, sigma),
                }
            )
        return Report(
            name="pde",
            title=f"marginals by {self.num_points} points, W1 / std to p(.; sigma), and the "
            "Fokker-Planck residual of the score",
            rows=rows,
            notes=[
                "sampling_noise: W1 / std of as many exact points; a deterministic sampler starts "
                "at quantiles and has none",
                "pde columns: the Fokker-Planck equation, backward along the model's reverse SDE; "
                "nan where sigma is too small for its cells, "
                "or a wrong score drives mass to its walls",
            ],
            figure=lambda: _figure(rows),
        )

    def _places(self, way: SamplerWay) -> list[int]:
        """Return the numbers of evenly spread grid points, from the first to the last above 0."""
        last = len(way.nodes) - 2
        spread = torch.linspace(0, last, min(self.num_levels, last + 1), dtype=torch.float64)
        return sorted({round(place) for place in spread.tolist()})


def _figure(rows: list[dict[str, Any]]) -> Figure:
    from fokker.figures import marginals

    column = {name: [row[name] for row in rows] for name in rows[0]}
    return marginals(
        column["sigma"], column["forward"], column["backward"], column["sigma"],
        column["residual"], column["sampling_noise"],
    )  # fmt: skip
