"""The smallest possible denoising error, and the excess of a model over it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from fokker.diffusion.analysis.mmse_curve import MMSECurve
from fokker.diffusion.analysis.model import Model
from fokker.distributions import Affine, Empirical, Estimate
from fokker.machine.ranks import ALONE, Ranks
from fokker.randomness import Randomness

# The same points and noise for every model, so that models are compared on them.
POINTS = Randomness(0)
POINTS_PER_LEVEL = 512
QUANTILES = 4096
HALVINGS = 45  # After these a step at a jump is as narrow as rounding.
FARTHEST = 7.5  # The mass of a normal beyond it is 6e-14.


@final
@dataclass(frozen=True)
class Excess:
    """The excess of a model's error over the floor.

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
    data only, and an excess. The excess is computed from D - D* and not as a difference of losses,
    so it has no noise of x0 and is never negative. Floors and excesses are divided by d.

    Args:
        law: the law of the training data, in the model's units; for a finite set, the set's own.
        sigmas: the noise levels, ascending, (b,).
    """

    def __init__(self, law: Affine, sigmas: Tensor) -> None:
        self._law, self._sigmas = law, sigmas
        # The cost of an exact denoiser grows with the number of points, and images take memory.
        inner = law.distribution
        size = prod(inner.points.shape) if isinstance(inner, Empirical) else 1
        most = min(POINTS_PER_LEVEL, 2**30 // size, 2**22 // (len(sigmas) * law.dim))
        self._points_per_level = max(32, most)

    @cached_property
    def _mmse(self) -> MMSECurve:
        return MMSECurve(self._law, self._sigmas)

    @property
    def levels(self) -> Tensor:
        """Return `mmse(sigma) / d` at each noise level, (b,)."""
        return self._mmse.levels

    def total(self, model: Model) -> Estimate:
        """Return the floor of a model's loss, `E_sigma[lambda mmse] / d` over its training noise.

        For a chain it is the mean over its levels. Otherwise it is an integral, to a relative 1e-8
        where mmse has no sampling noise (see `MMSECurve`).
        """
        value = _mean_over_noise(model, self._mmse)
        if not self._mmse.is_random:
            return Estimate(value)
        return Estimate(value, _mean_over_noise(model, self._mmse.upper) - value)

    @cached_property
    def _at_levels(self) -> tuple[Tensor, Tensor, Tensor]:
        return self._noisy(self._sigmas.repeat_interleave(self._points_per_level), step=0)

    def _noisy(self, sigma: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return a noisy point for each level, the levels, and the ideal denoised points."""
        x0 = self._law.sample(len(sigma), POINTS.generator("held_out", step))
        noise = POINTS.normal("noise", 0, len(sigma), (self._law.dim,), step)
        x = (x0 + sigma[:, None] * noise).float()
        return x, sigma, self._law.denoise(x, sigma).float()

    @torch.no_grad()
    def excess(self, model: Model, ranks: Ranks = ALONE) -> Excess:
        """Return the excess of a model, at each level and over its training noise.

        Args:
            model: the model, the same in all ranks.
            ranks: the ranks among which the points are divided.
        """
        at_levels = _squared_distance(model, ranks, *self._at_levels)
        sigma, share = _training_noise(model)
        weight = share * _weight(model, sigma)
        # Three quarters of the points follow the training noise, and one quarter follows what each
        # level adds to the floor: under a weighting such as likelihood, seldom drawn levels add
        # most.
        part = weight * self._mmse(sigma)
        # There is no floor where all points are equal.
        drawn = 0.75 * share + 0.25 * part / part.sum() if part.sum() > 0 else share
        count = 4 * self._points_per_level
        spread = (POINTS.permutation("sigma", count) + 0.5) / count
        chosen = torch.searchsorted(drawn.cumsum(0), spread).clamp(max=len(sigma) - 1)
        distance = _squared_distance(model, ranks, *self._noisy(sigma[chosen], step=1))
        return Excess(
            at_levels.reshape(len(self._sigmas), -1).mean(1),
            float(((weight / drawn)[chosen] * distance).mean()),
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> "Floors":
        """Return this object itself, for its computed values do not change."""
        return self


def _squared_distance(
    model: Model, ranks: Ranks, x: Tensor, sigma: Tensor, best: Tensor
) -> Tensor:
    """Return `|D - D*|^2 / d` of each row, (n,), float64, each computed by one rank."""
    share = ranks.share(len(x))
    mine = slice(share.start, share.stop)
    shaped = x[mine].reshape(-1, *model.data.shape).to(model.device)
    denoised: Tensor = model.denoiser(shaped, sigma[mine])
    squares = torch.zeros(len(x), dtype=torch.float64)
    squares[mine] = (denoised.cpu().flatten(1) - best[mine]).double().square().mean(1)
    return ranks.total(squares)


def _training_noise(model: Model) -> tuple[Tensor, Tensor]:
    """Return noise levels that stand for the training noise, and their shares, which sum to 1.

    A chain has its own levels. Otherwise the quantiles u = Phi(z) are evenly spread in z, not in
    u: a weighting may be large at the rare ends of the training noise, as 1/(2t) at t = 1e-5 for
    likelihood on a VP SDE.
    """
    levels = model.noise_levels.levels
    if levels is not None:
        return levels, torch.full((len(levels),), 1 / len(levels), dtype=torch.float64)
    edges = torch.linspace(-FARTHEST, FARTHEST, QUANTILES + 1, dtype=torch.float64)
    z = (edges[1:] + edges[:-1]) / 2
    share = torch.exp(-(z**2) / 2)
    return model.noise_levels.sigma(torch.special.ndtr(z)), share / share.sum()


def _mean_over_noise(model: Model, curve: Callable[[Tensor], Tensor]) -> float:
    """Return `E_sigma[lambda curve]` over the training noise of a model."""

    def integrand(z: Tensor) -> Tensor:
        sigma = model.noise_levels.sigma(torch.special.ndtr(z))
        return torch.exp(-(z**2) / 2) * _weight(model, sigma) * curve(sigma)

    levels = model.noise_levels.levels
    if levels is not None:
        return float((_weight(model, levels) * curve(levels)).mean())
    # The integral is over z, as in `_training_noise`.
    return integral(integrand, -FARTHEST, FARTHEST) / math.sqrt(2 * math.pi)


def integral(
    function: Callable[[Tensor], Tensor], low: float, high: float, tolerance: float = 1e-12
) -> float:
    """Return the integral of a function of (n,), with a kink or a jump or two, to a relative 1e-9.

    The rule is Lobatto's, with 8 points on each of 64 steps. A step is halved until that changes
    its part by less than `tolerance` of the whole. The rule has points at both ends of a step, so
    that it sees a kink near an end.
    """
    last = np.polynomial.Legendre.basis(7)
    inner = np.concatenate([[-1.0], np.sort(last.deriv().roots().real), [1.0]])
    places, shares = torch.from_numpy(inner), torch.from_numpy(2 / (8 * 7 * last(inner) ** 2))

    def parts(starts: Tensor, width: float) -> Tensor:
        nodes = starts[:, None] + width * (1 + places) / 2
        return function(nodes.flatten()).reshape(nodes.shape) @ shares * (width / 2)

    width = (high - low) / 64
    starts = low + width * torch.arange(64, dtype=torch.float64)
    whole, found = parts(starts, width), 0.0
    for _ in range(HALVINGS):
        width /= 2
        halves = parts(torch.stack([starts, starts + width], 1).flatten(), width).reshape(-1, 2)
        size = abs(found + float(whole.sum()))
        wrong = (halves.sum(1) - whole).abs() > tolerance * size
        found += float(halves[~wrong].sum())
        starts = torch.stack([starts, starts + width], 1)[wrong].flatten()
        whole = halves[wrong].flatten()
        if not len(starts):
            break
    return found + float(whole.sum())


def _weight(model: Model, sigma: Tensor) -> Tensor:
    return model.weighting(sigma, model.noise_levels).detach().double()
