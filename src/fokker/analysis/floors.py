"""What no denoiser can go below, and how far above it a model is."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator
from torch import Tensor

from fokker.distributions import Affine, Empirical, Estimate
from fokker.formulations import Diffusion
from fokker.randomness import Randomness
from fokker.ranks import ALONE, Ranks

# The same points and noise for every model, so that models are compared on them.
POINTS = Randomness(0)
POINTS_PER_LEVEL = 512
MMSE_POINTS = 4096
QUANTILES = 4096
# A share of the variance below which an mmse counts as 0.
NOTHING = 1e-12
FARTHEST = 7.5  # Beyond it lie 6e-14 of a normal.


@final
@dataclass(frozen=True)
class Excess:
    """How far a model is above the floor.

    Attributes:
        levels: `E|D - D*|^2 / d` at each noise level, (b,).
        total: `E_sigma[lambda |D - D*|^2] / d` over the training noise.
    """

    levels: Tensor
    total: float


@final
class Floors:
    """The irreducible part of every loss on data of a known law.

    `E|D - x0|^2 = mmse(sigma) + E|D - D*|^2`, D* the ideal denoiser: a floor that depends on the
    data alone, and an excess. The excess is computed from D - D* and not as a difference of losses:
    it has no noise of x0, and is never negative. Floors and excesses are divided by d.

    Args:
        law: of the training data, in the model's units; of a finite set its own.
        sigmas: noise levels, ascending, (b,).
        ranks: the processes among which a model's points are divided.
    """

    def __init__(self, law: Affine, sigmas: Tensor, ranks: Ranks = ALONE) -> None:
        self._law, self._sigmas, self._ranks = law, sigmas, ranks
        inner = law.distribution
        size, self._spline = 1, CubicSpline
        if isinstance(inner, Empirical):
            size, self._spline = prod(inner.points.shape), PchipInterpolator
        # An exact denoiser of many points costs as much as they are, and images take memory.
        most = min(POINTS_PER_LEVEL, 2**30 // size, 2**22 // (len(sigmas) * law.dim))
        self._points_per_level = max(32, most)
        self._mmse_points = max(256, min(MMSE_POINTS, 2**27 // size))

    @cached_property
    def _mmse(self) -> tuple[Tensor, list[Estimate]]:
        """Noise levels twice as dense as the given ones, and mmse/d there."""
        between = (self._sigmas[1:] * self._sigmas[:-1]).sqrt()
        dense, d = torch.cat([self._sigmas, between]).sort().values, self._law.dim
        found: list[Estimate] = []
        for sigma in dense.flip(0).tolist():
            # It grows with sigma, and that of a finite set is soon nothing on the way down.
            if found and found[0].value < NOTHING * found[-1].value:
                found.insert(0, Estimate(0.0))
                continue
            estimate = self._law.mmse(sigma, num_samples=self._mmse_points)
            found.insert(0, Estimate(estimate.value / d, estimate.standard_error / d))
        return dense, found

    @cached_property
    def levels(self) -> Tensor:
        """`mmse(sigma) / d` at each noise level, (b,)."""
        _, estimates = self._mmse
        return torch.tensor([e.value for e in estimates[::2]], dtype=torch.float64)

    def total(self, model: Diffusion) -> Estimate:
        """`E_sigma[lambda mmse] / d` over the training noise of a model, under its weighting.

        Between the levels mmse is a cubic spline of its logarithm in ln sigma, which errs by about
        2e-5 of it, and of a finite set a monotone one, for it falls off a cliff there; beyond the
        levels a straight line.
        """
        _, estimates = self._mmse
        values = np.array([e.value for e in estimates])
        # Errors of all levels come from the same points, and so do not average out.
        upper = values + np.array([e.standard_error for e in estimates])
        sigma, share = _training_noise(model)
        weight = share * _weight(model, sigma)
        value, above = (float((weight * self._curve(y, sigma)).sum()) for y in (values, upper))
        return Estimate(value, above - value)

    @cached_property
    def _at_levels(self) -> tuple[Tensor, Tensor, Tensor]:
        return self._noisy(self._sigmas.repeat_interleave(self._points_per_level), step=0)

    def _noisy(self, sigma: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """A noisy point for each level, the levels, and the ideal denoised points."""
        x0 = self._law.sample(len(sigma), POINTS.generator("held_out", step))
        noise = POINTS.normal("noise", 0, len(sigma), (self._law.dim,), step)
        x = (x0 + sigma[:, None] * noise).float()
        return x, sigma, self._law.denoise(x, sigma).float()

    @torch.no_grad()
    def excess(self, model: Diffusion) -> Excess:
        """How far a model is above the floor, at each level and in all."""
        at_levels = self._squared_distance(model, *self._at_levels)
        _, estimates = self._mmse
        sigma, share = _training_noise(model)
        weight = share * _weight(model, sigma)
        # Three quarters of the points where the training noise is, one where the floor comes from:
        # under a weighting such as likelihood that is at noise levels that are seldom drawn.
        part = weight * self._curve(np.array([e.value for e in estimates]), sigma)
        # Where all points are equal there is no floor.
        drawn = 0.75 * share + 0.25 * part / part.sum() if part.sum() > 0 else share
        count = 4 * self._points_per_level
        spread = (POINTS.permutation("sigma", count) + 0.5) / count
        chosen = torch.searchsorted(drawn.cumsum(0), spread).clamp(max=len(sigma) - 1)
        distance = self._squared_distance(model, *self._noisy(sigma[chosen], step=1))
        return Excess(
            at_levels.reshape(len(self._sigmas), -1).mean(1),
            float(((weight / drawn)[chosen] * distance).mean()),
        )

    def _curve(self, values: NDArray[Any], sigma: Tensor) -> Tensor:
        """mmse/d at sigma, from its values at the levels of `_mmse`."""
        dense, _ = self._mmse
        if values[-1] <= 0:  # Of points that are all equal.
            return torch.zeros_like(sigma)
        growing = np.maximum.accumulate(np.maximum(values, NOTHING * values[-1]))
        spline = self._spline(np.log(dense.numpy()), np.log(growing))
        return torch.from_numpy(np.exp(_extended(spline, np.log(sigma.numpy()))))

    def _squared_distance(self, model: Diffusion, x: Tensor, sigma: Tensor, best: Tensor) -> Tensor:
        """`|D - D*|^2 / d` of each row, (n,), float64, each computed by one rank."""
        share = self._ranks.share(len(x))
        mine = slice(share.start, share.stop)
        shaped = x[mine].reshape(-1, *model.data.shape).to(model.device)
        denoised: Tensor = model.denoiser(shaped, sigma[mine])
        squares = torch.zeros(len(x), dtype=torch.float64)
        squares[mine] = (denoised.cpu().flatten(1) - best[mine]).double().square().mean(1)
        return self._ranks.total(squares)


def _training_noise(model: Diffusion) -> tuple[Tensor, Tensor]:
    """Noise levels that stand for the training noise, and their shares of it, which sum to 1.

    Quantiles u = Phi(z), evenly spread in z, not in u: the ends of the training noise, which are
    rare, may be where a weighting is large, as 1/(2t) at t = 1e-5 for likelihood on a VP SDE.
    """
    levels = model.noise_levels.levels
    if levels is not None:
        return levels, torch.full((len(levels),), 1 / len(levels), dtype=torch.float64)
    edges = torch.linspace(-FARTHEST, FARTHEST, QUANTILES + 1, dtype=torch.float64)
    z = (edges[1:] + edges[:-1]) / 2
    share = torch.exp(-(z**2) / 2)
    return model.noise_levels.sigma(torch.special.ndtr(z)), share / share.sum()


def _weight(model: Diffusion, sigma: Tensor) -> Tensor:
    return model.weighting(sigma, model.noise_levels).detach().double()


def _extended(spline: CubicSpline | PchipInterpolator, at: NDArray[Any]) -> NDArray[Any]:
    """A spline, and its tangents beyond its ends."""
    inside = np.clip(at, spline.x[0], spline.x[-1])
    return np.asarray(spline(inside) + spline(inside, 1) * (at - inside))
