"""Exponential Adams methods that know the scale of the data."""

from collections.abc import Iterator, Sequence
from math import inf, log
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fokker.diffusion.samplers.base import Denoise, Nodes, Noise, Sampler
from fokker.diffusion.sde import SDE

# The quadrature in ln sigma is good to 1e-6 for a step of a factor of 40,000.
PLACES, WEIGHTS = np.polynomial.legendre.leggauss(24)
# The absolute weights of a step with k values may add up to LARGEST^k times their sum. Those of
# equal small steps add up to half of that, 1, 2, 11/3, 20/3, as in any Adams-Bashforth method. Far
# above it the errors of D, and the part that the functions do not fit, grow from step to step.
LARGEST = 2


@final
class Adams(Sampler):
    """`y_s = (sigma_s/sigma_t) y + sum_j w_j D_j`, exact where D is in the span of a few functions.

    These are `1, c_1, c_1 c_2, ...` with `c_j = 1/sqrt(1 + sigma^2/v_j^2)`. On data N(m, v^2 I), D
    along a path is linear in 1/sqrt(1 + sigma^2/v^2), the correlation of x0 and x0 + sigma n. With
    the data's standard deviation as v_1, a large part of D is therefore exact, where polynomials in
    ln sigma (`DPMpp3M`, `UniPC`) need many steps.

    The order k is the number of functions. The predictor (Adams-Bashforth) fits the last k values
    of D. At its end D is evaluated next, and that value then corrects the step just taken
    (Adams-Moulton with k values), at no further evaluation (as in Zhao 2023, UniPC, algorithm 1).
    The first steps fit as many values as there are, and a step so long that its weights would be
    large (`LARGEST`) fits fewer. The step to sigma = 0 gives the fit's D there. A step takes one
    evaluation.

    Args:
        stds: v_1, v_2, ..., the standard deviations of the data and then of their details, in the
            model's units. Each adds an order. One is best for a network; more are for many steps
            of an exact denoiser.
        to_zero: whether the last step, from the lowest noise above 0, is taken; if not, it costs no
            evaluation, and the samples keep that noise.
        sde, num_steps, prior: see `Sampler`.
    Raises:
        ValueError: if stds is empty, or one of them is not positive and finite.
    """

    def __init__(
        self,
        sde: SDE,
        num_steps: int = 100,
        stds: Sequence[float] = (0.5,),
        to_zero: bool = True,
        prior: Literal["published", "matched"] = "published",
    ) -> None:
        super().__init__(sde, num_steps, prior)
        if not (stds and all(0 < std < inf for std in stds)):
            raise ValueError(
                f"sampler.stds must be positive numbers, at least one, got {list(stds)}; the "
                "data's own is 0.5 when standardised"
            )
        self.stds, self.to_zero = [float(std) for std in stds], to_zero

    def steps(self, denoise: Denoise, y: Tensor, nodes: Nodes, noise: Noise) -> Iterator[Tensor]:
        history: list[tuple[float, Tensor]] = []
        before = y
        for i in range(len(nodes)):
            if self.to_zero or i == 0 or not nodes.is_last(i):
                sigma, denoised = nodes.sigma[i], denoise(y, nodes.sigma[i])
                history = [(sigma, denoised), *history][: len(self.stds) + 1]
                if i > 0:
                    y = self._step(before, nodes.sigma[i - 1], sigma, history)
                before = y
                y = self._step(y, sigma, nodes.sigma[i + 1], history)
            yield y

    def _step(
        self, y: Tensor, sigma: float, lower: float, history: list[tuple[float, Tensor]]
    ) -> Tensor:
        """Return y at `lower` from y at `sigma`."""
        weights = self._weights([level for level, _ in history], sigma, lower)
        moved = lower / sigma * y
        for weight, (_, denoised) in zip(weights, history, strict=True):
            moved = moved + weight * denoised
        return moved

    def _weights(self, levels: list[float], sigma: float, lower: float) -> list[float]:
        """Return the weights w_j of the values of D.

        They solve `sum_j w_j f(sigma_j) = lower int_lower^sigma f(r)/r^2 dr` for each function f.
        At lower = 0 the right side is f(0) = 1.
        """
        moments = np.ones(len(levels))
        if lower > 0:
            half = log(sigma / lower) / 2
            ratios = np.exp(half * (1 - PLACES))
            moments = self._functions(lower * ratios, len(levels)) @ (half * WEIGHTS / ratios)
        values = self._functions(np.array(levels), len(levels))
        try:
            weights = [float(weight) for weight in np.linalg.solve(values, moments)]
        except np.linalg.LinAlgError:  # Two of the functions are the same number at these levels.
            weights = [inf]
        if len(levels) == 1:
            return weights
        # A step to 0 after many small ones has larger weights by its length, and is the last.
        reach = max(1.0, (sigma - lower) / (levels[1] - levels[0]))
        largest = (LARGEST * reach) ** (len(levels) - 1) * LARGEST * (1 - lower / sigma)
        if sum(map(abs, weights)) <= largest:
            return weights
        return [*self._weights(levels[:-1], sigma, lower), 0.0]

    def _functions(self, sigma: NDArray[Any], count: int) -> NDArray[Any]:
        """Return 1, c_1, c_1 c_2, ... at each sigma, (count, len(sigma))."""
        factors = [1 / np.sqrt(1 + (sigma / std) ** 2) for std in self.stds[: count - 1]]
        return np.cumprod([np.ones_like(sigma), *factors], axis=0)
