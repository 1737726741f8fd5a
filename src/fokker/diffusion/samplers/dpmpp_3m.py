"""The third-order multistep solver in the data prediction."""

from collections.abc import Iterator
from math import expm1, log
from typing import final

import numpy as np
from torch import Tensor

from fokker.diffusion.samplers.base import Denoise, Nodes, Noise, Sampler

ORDER = 3


def multistep_weights(logs: list[float], h: float) -> list[float]:
    """Return the weights w_j of the k last denoised states in a step of length h in lambda.

    Here lambda = -ln sigma. The weights solve `sum_j w_j u_j^i = m_i` for i < k, with
    `u_j = lambda_j - lambda_t`, `m_0 = 1 - e^{-h}` and `m_i = h^i - i m_{i-1}`. They are exact
    where D is a polynomial of degree k - 1 in lambda.

    Args:
        logs: u_j, 0 where the step begins, negative for earlier grid points, h for its end.
        h: lambda_s - lambda_t > 0.
    """
    moments = [-expm1(-h)]
    for i in range(1, len(logs)):
        moments.append(h**i - i * moments[-1])
    weights = np.linalg.solve(np.vander(logs, increasing=True).T, np.array(moments))
    return [float(weight) for weight in weights]


@final
class DPMpp3M(Sampler):
    """`y_s = (sigma_s/sigma_t) y + sum_j w_j D_j` over the last three D.

    It is the exponential Adams method of order 3 in lambda = -ln sigma (Lu 2022, DPM-Solver++, eq.
    9, with exact moments). The second step uses two D. The first has only one, with an error of h^2
    that would leave the whole at order 2. So the next D, which is evaluated at its end, corrects it
    by the same formula over both D, as in `Adams`. Published codes do not correct it; they agree
    with this where D hardly varies at the start, as at sigma 80. A step takes one evaluation.
    """

    def steps(self, denoise: Denoise, y: Tensor, nodes: Nodes, noise: Noise) -> Iterator[Tensor]:
        history: list[tuple[float, Tensor]] = []
        start = y
        for i in range(len(nodes)):
            sigma = nodes.sigma[i]
            history = [(sigma, denoise(y, sigma)), *history][:ORDER]
            if nodes.is_last(i):
                y = history[0][1]
            else:
                if i == 1:
                    y = _step(start, nodes.sigma[0], sigma, history)
                y = _step(y, sigma, nodes.sigma[i + 1], history)
            yield y


def _step(y: Tensor, sigma: float, lower: float, history: list[tuple[float, Tensor]]) -> Tensor:
    """Return y at `lower` from y at `sigma`."""
    weights = multistep_weights([log(sigma / level) for level, _ in history], log(sigma / lower))
    moved = lower / sigma * y
    for weight, (_, denoised) in zip(weights, history, strict=True):
        moved = moved + weight * denoised
    return moved
