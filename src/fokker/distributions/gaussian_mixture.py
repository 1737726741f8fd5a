"""Mixtures of isotropic Gaussians."""

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from fokker.distributions.arguments import (
    Numbers,
    as_points,
    as_positive,
    as_sigma,
    as_vector,
    row_blocks,
)
from fokker.distributions.base import Distribution, Estimate
from fokker.distributions.interval import normal_cdf
from fokker.distributions.inversion import as_probabilities, invert
from fokker.distributions.quadrature import bells, integrate

# The spacing and reach, in standard deviations, of the trapezoidal rule in two dimensions.
GRID_STEP = 0.125
GRID_REACH = 9.0


@final
class GaussianMixture(Distribution):
    """The law `p(x) = sum_j w_j N(x; m_j, s_j^2 I)`.

    With t_j = s_j^2 + sigma^2 and responsibilities `r_j ~ w_j N(x; m_j, t_j I)` the denoiser is
    `D = sum_j r_j (sigma^2 m_j + s_j^2 x) / t_j`.

    Args:
        weights: the weights of the components, (k,), not negative; they are divided by their sum.
        means: the means, (k, d), or (k,) in one dimension.
        stds: the standard deviations, (k,), or one number for all components.

    Raises:
        ValueError: lengths that do not fit, a negative weight, weights whose sum is not positive,
            a std that is not positive, or NaN or infinite values.
    """

    def __init__(
        self, weights: Numbers, means: Sequence[Sequence[float]] | Numbers, stds: Numbers
    ) -> None:
        weight = as_vector("weights", weights)
        count = len(weight)
        if not (bool((weight >= 0).all()) and float(weight.sum()) > 0):
            raise ValueError(
                f"weights must not be negative and have a positive sum, got {weight.tolist()}"
            )
        centres = torch.as_tensor(means, dtype=torch.float64).detach().clone()
        if centres.ndim == 1:
            centres = centres[:, None]
        if centres.ndim != 2 or len(centres) != count or centres.shape[1] == 0:
            raise ValueError(
                f"means must have shape ({count}, d) or ({count},), a row for each of "
                f"weights={weight.tolist()}, got {tuple(centres.shape)}"
            )
        if not bool(centres.isfinite().all()):
            raise ValueError("means must be finite, got NaN or infinite values")
        widths = as_vector("stds", stds, count)
        if not bool((widths > 0).all()):
            raise ValueError(f"stds must be positive, got {float(widths.min()):g}")
        used = weight > 0
        self.weights = weight[used] / weight.sum()
        self.means = centres[used]
        self.stds = widths[used]
        mean = self.weights @ self.means
        spread = self.stds[:, None] ** 2 + (self.means - mean) ** 2
        super().__init__(mean, self.weights @ spread)

    @property
    def covariance(self) -> Tensor:
        """Return `sum_j w_j [s_j^2 I + (m_j - m)(m_j - m)^T]`, m the mean, (d, d)."""
        centres = self.means - self.mean
        within = self.weights @ self.stds**2 * torch.eye(self.dim, dtype=torch.float64)
        return within + (self.weights[:, None] * centres).T @ centres

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        u = torch.rand(n, generator=generator, dtype=torch.float64)
        # The last border is left out: rounding of the sum could give an index beyond the end.
        component = torch.searchsorted(self.weights.cumsum(0)[:-1], u, right=True)
        noise = torch.randn(n, self.dim, generator=generator, dtype=torch.float64)
        return self.means[component] + self.stds[component, None] * noise

    def log_prob(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        x = as_points(x, self.dim)
        sigma = as_sigma(sigma, len(x), allow_zero=True)
        common, logits = self._logits(x, sigma)
        return common + logits.logsumexp(dim=1)

    def score(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, self.dim)
        sigma = as_sigma(sigma, len(x))
        slope = self._responsibilities(x, sigma) / self._total(sigma)
        return slope @ (self.means - self.mean) - slope.sum(dim=1)[:, None] * (x - self.mean)

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, self.dim)
        sigma = as_sigma(sigma, len(x))
        share = self._responsibilities(x, sigma) / self._total(sigma)
        kept = (share @ self.stds**2)[:, None]
        pulled = (share * sigma[:, None] ** 2) @ (self.means - self.mean)
        return self.mean + pulled + kept * (x - self.mean)

    def posterior_variance(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, self.dim)
        sigma = as_sigma(sigma, len(x))
        blocks = row_blocks(len(x), self.means.numel())
        return torch.cat([self._block_variance(x[rows], sigma[rows]) for rows in blocks])

    def mmse(
        self, sigma: float, generator: torch.Generator | None = None, num_samples: int = 16_384
    ) -> Estimate:
        """Return `E tr Var(x0 | x0 + sigma n)`, by quadrature in one dimension.

        In two dimensions with equal stds it is quadrature too; otherwise it is Monte Carlo.
        """
        sigma = as_positive("sigma", sigma)
        spread = (self.stds**2 + sigma**2).sqrt()
        if self.dim == 1:
            return Estimate(
                integrate(
                    lambda x: self.log_prob(x, sigma).exp() * self.posterior_variance(x, sigma),
                    bells(self.means[:, 0], spread),
                )
            )
        if self.dim == 2 and bool((self.stds == self.stds[0]).all()):
            each = [self.mode_mmse(j, sigma) for j in range(len(self.means))]
            return Estimate(float(self.weights @ torch.tensor(each, dtype=torch.float64)))
        return super().mmse(sigma, generator, num_samples)

    def cdf(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        if self.dim > 1:
            return super().cdf(x, sigma)
        x = as_points(x, 1)[:, 0]
        return self._tails(x, as_sigma(sigma, len(x), allow_zero=True))[0]

    def quantile(self, u: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        if self.dim > 1:
            return super().quantile(u, sigma)
        u = as_probabilities(u)
        level = as_sigma(sigma, len(u), allow_zero=True)
        reach = 40 * (self.stds**2 + float(level.max()) ** 2).sqrt()
        return invert(
            u,
            level,
            self._tails,
            lambda x, level: self.log_prob(x, level).exp(),
            float((self.means[:, 0] - reach).min()),
            float((self.means[:, 0] + reach).max()),
        )

    def _total(self, sigma: Tensor) -> Tensor:
        """Return t_j = s_j^2 + sigma^2, (n, k)."""
        return self.stds**2 + sigma[:, None] ** 2

    def _logits(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Return `log w_j N(x; m_j, t_j I)` as a common part, (n,), and the rest, (n, k).

        The common part of all j is -|x|^2 / 2 max(t). Far from the data at small sigma it is huge,
        and its rounding errors would spoil the responsibilities.
        """
        y = x - self.mean
        centres = self.means - self.mean
        total = self._total(sigma)
        widest = total.max(dim=1, keepdim=True).values
        square = (y**2).sum(dim=1, keepdim=True)
        quadratic = square * ((widest - total) / (widest * total))
        linear = ((centres**2).sum(dim=1) - 2 * y @ centres.T) / total
        logits = (
            self.weights.log()
            - 0.5 * self.dim * (2 * math.pi * total).log()
            - 0.5 * (quadratic + linear)
        )
        return -0.5 * (square / widest)[:, 0], logits

    def _responsibilities(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self._logits(x, sigma)[1].softmax(dim=1)

    def _block_variance(self, x: Tensor, sigma: Tensor) -> Tensor:
        share = self._responsibilities(x, sigma)
        kept = self.stds**2 / self._total(sigma)
        y = (x - self.mean)[:, None, :]
        means = (1 - kept)[:, :, None] * (self.means - self.mean) + kept[:, :, None] * y
        overall = (share[:, :, None] * means).sum(dim=1, keepdim=True)
        between = ((means - overall) ** 2).sum(dim=2)
        return (share * (self.dim * kept * sigma[:, None] ** 2 + between)).sum(dim=1)

    def mode_mmse(self, j: int, sigma: float) -> float:
        """Return `E[V(m_j + spread z)]`, z ~ N(0, I), of component j in two dimensions.

        All stds must be equal. V is the posterior variance, spread^2 = std^2 + sigma^2. The
        trapezoidal rule converges exponentially. Two components that are D spreads apart put poles
        of V at pi / D off the real plane, where the Gaussian weight is exp(-D^2 / 8): with this
        step the error is below exp(-2 pi^2 / (D step) - D^2 / 8) < 1e-12.
        """
        axis = torch.arange(-GRID_REACH, GRID_REACH + GRID_STEP / 2, GRID_STEP, dtype=torch.float64)
        nodes = torch.cartesian_prod(axis, axis)
        density = (-0.5 * (nodes**2).sum(dim=1)).exp() * GRID_STEP**2 / (2 * math.pi)
        # The corners weigh no more than the region outside the grid, which is left out too.
        near = (nodes**2).sum(dim=1) <= GRID_REACH**2
        nodes, density = nodes[near], density[near]
        std = float(self.stds[0])
        total = std**2 + sigma**2
        # Centres are relative to m_j, near most nodes, so little cancels between the two squares.
        centres = self.means - self.means[j]
        square = (centres**2).sum(dim=1)
        logits = self.weights.log() - square / (2 * total) + nodes @ (centres.T / total**0.5)
        share = logits.softmax(dim=1)
        between = share @ square - ((share @ centres) ** 2).sum(dim=1)
        within = self.dim * std**2 * sigma**2 / total
        return within + (sigma**2 / total) ** 2 * float(density @ between)

    def _tails(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Return `P(x0 + sigma n <= x)` and `P(x0 + sigma n > x)` in one dimension."""
        z = (x[:, None] - self.means[:, 0]) / self._total(sigma).sqrt()
        return normal_cdf(z) @ self.weights, normal_cdf(-z) @ self.weights
