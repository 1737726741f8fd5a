"""The smallest possible denoising error of a law at any noise level, interpolated between some."""

from collections.abc import Callable
from math import prod
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator, make_interp_spline
from torch import Tensor

from fokker.distributions import Affine, Empirical, Estimate

Floats = NDArray[np.float64]
#: A function of places and, if given, a number of derivatives.
Spline = Callable[..., Floats]

MMSE_POINTS = 4096
# The share of the mmse at the highest level below which an mmse counts as 0.
NOTHING = 1e-12
DEGREE = 7
# A spline with this relative error between two levels has some 2^8 times less with one between.
FORETOLD, ROUNDS = 1e-6, 8
LOWER = 3  # The number of levels added below the given ones.


@final
class MMSECurve:
    """`mmse(sigma) / d` as a function of sigma.

    The curve interpolates `ln(mmse / mmse of independent Gaussians)` in ln sigma. The Gaussians
    have the same variances v, and the mmse `sum_i v_i sigma^2 / (v_i + sigma^2)`, which all laws
    approach at high noise. The spline depends on the law:

    - mmse known without sampling noise: degree 7, with more levels until it predicts the next ones
      to 1e-6; with those its error is below 1e-9 on the laws here.
    - mmse from drawn points: degree 3, through levels twice as dense as those given. Its error is
      up to 1e-3 of mmse in a single place, and 3e-5 of a mean over many.
    - a finite set: a monotone spline through levels as dense as these, for its mmse falls steeply.

    Args:
        law: the law of the data, in the model's units.
        sigmas: the noise levels, ascending, (b,), at least two.
    """

    def __init__(self, law: Affine, sigmas: Tensor) -> None:
        self._law, inner = law, law.distribution
        self._variance = law.variance.double().numpy()
        is_finite = isinstance(inner, Empirical)
        # The cost of an exact denoiser grows with the number of points.
        size = prod(inner.points.shape) if isinstance(inner, Empirical) else 1
        self._points = max(256, min(MMSE_POINTS, 2**27 // size))
        logs = np.log(sigmas.double().numpy())
        self._lowest, self._highest = float(logs[0]), float(logs[-1])
        estimates = self._estimates(logs, stops=is_finite)
        #: `mmse / d` at each of the given levels, (b,).
        self.levels = torch.tensor([e.value for e in estimates], dtype=torch.float64)
        self._spline: Spline = np.zeros_like  # It stays so if all points are equal.
        self._upper: Spline = np.zeros_like
        if float(self.levels[-1]) <= 0:
            return
        if is_finite or any(e.standard_error > 0 for e in estimates):
            between = (logs[1:] + logs[:-1]) / 2
            estimates += self._estimates(between, stops=is_finite)
            kind = PchipInterpolator if is_finite else CubicSpline
            values = np.array([e.value for e in estimates])
            # The errors of all levels come from the same points, so they do not average out.
            upper = values + np.array([e.standard_error for e in estimates])
            logs = np.concatenate([logs, between])
            self._spline, self._upper = (kind(*self._nodes(logs, v)) for v in (values, upper))
        else:
            lower = logs[0] - (logs[1] - logs[0]) * np.arange(LOWER, 0, -1)
            self._lowest = float(lower[0])
            values = np.array([e.value for e in self._estimates(lower) + estimates])
            logs = np.concatenate([lower, logs])
            self._spline = self._upper = self._refined(logs, values)

    def __call__(self, sigma: Tensor) -> Tensor:
        """Return `mmse / d` at sigma, (n,), float64."""
        return self._at(self._spline, sigma)

    @property
    def is_random(self) -> bool:
        """Tell whether points were drawn, so that the curve has a standard error."""
        return self._upper is not self._spline

    def upper(self, sigma: Tensor) -> Tensor:
        """Return `mmse / d` with a standard error added, (n,), float64."""
        return self._at(self._upper, sigma)

    def _at(self, spline: Spline, sigma: Tensor) -> Tensor:
        if float(self.levels[-1]) <= 0:
            return torch.zeros_like(sigma)
        logs = np.log(sigma.numpy())
        inside = logs.clip(self._lowest, self._highest)
        beyond = logs - inside
        # Beyond the levels the slope of the ratio fades like sigma below and 1/sigma^2 above.
        fading = np.where(beyond < 0, np.expm1(beyond), -np.expm1(-2 * beyond) / 2)
        ratio = spline(inside) + spline(inside, 1) * fading
        return torch.from_numpy(np.exp(ratio) * self._gaussian(logs))

    def _gaussian(self, logs: Floats) -> Floats:
        square = np.exp(2 * logs)[..., None]
        found: Floats = (self._variance * square / (self._variance + square)).mean(-1)
        return found

    def _nodes(self, logs: Floats, values: Floats) -> tuple[Floats, Floats]:
        """Return the interpolated numbers: ln sigma, ascending, and `ln(mmse / Gaussian mmse)`."""
        order = np.argsort(logs)
        logs, values = logs[order], values[order]
        # An exact mmse grows with sigma.
        growing = np.maximum.accumulate(np.maximum(values, NOTHING * max(values[-1], 1e-300)))
        return logs, np.log(growing / self._gaussian(logs))

    def _estimates(self, logs: Floats, stops: bool = False) -> list[Estimate]:
        """Return mmse/d at noise levels, ascending; with `stops`, 0 below the first negligible."""
        found: list[Estimate] = []
        for sigma in np.exp(logs[::-1]).tolist():
            if stops and found and found[0].value < NOTHING * found[-1].value:
                found.insert(0, Estimate(0.0))
                continue
            estimate = self._law.mmse(sigma, num_samples=self._points)
            d = self._law.dim
            found.insert(0, Estimate(estimate.value / d, estimate.standard_error / d))
        return found

    def _refined(self, logs: Floats, values: Floats) -> Spline:
        """Return a spline through values without sampling noise, and as many more as it needs."""
        between = (logs[1:] + logs[:-1]) / 2
        for _ in range(ROUNDS):
            spline = _smooth(*self._nodes(logs, values))
            found = np.array([e.value for e in self._estimates(between)])
            foretold = np.exp(spline(between)) * self._gaussian(between)
            missed = between[np.abs(foretold - found) > FORETOLD * found]
            logs, values = np.concatenate([logs, between]), np.concatenate([values, found])
            if not len(missed):
                break
            # Halve the steps around a miss, and one to either side, where it is wrong as well.
            ends = np.sort(logs)
            steps = np.searchsorted(ends, missed)[:, None] + np.arange(-2, 2)
            steps = np.unique(steps.clip(0, len(ends) - 2))
            between = (ends[steps] + ends[steps + 1]) / 2
        return _smooth(*self._nodes(logs, values))


def _smooth(x: Floats, y: Floats) -> Spline:
    """Return a spline of degree 7, or of the highest odd degree that fewer than 8 points allow."""
    spline: Spline = make_interp_spline(x, y, k=min(DEGREE, len(x) - 1 - len(x) % 2))
    return spline
