"""The third-order multistep solver in the data prediction."""

from collections.abc import Iterator
from math import exp, expm1, log
from typing import final

import numpy as np
from torch import Tensor

from fokker.samplers.base import Denoise, Nodes, Noise, Sampler

ORDER = 3


def multistep_weights(logs: list[float], h: float) -> list[float]:
    """Weights w_j of the k last denoised states in a step of length h in lambda = -ln sigma.

    `sum_j w_j u_j^i = m_i` for i < k, `u_j = lambda_j - lambda_t`, `m_0 = 1 - e^{-h}`,
    `m_i = h^i - i m_{i-1}`: exact where D is a polynomial of degree k - 1 in lambda.

    Args:
        logs: u_j, 0 for the current node, negative for earlier ones.
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

    The exponential Adams method of order 3 in lambda = -ln sigma (Lu 2022, DPM-Solver++, eq. 9,
    with exact moments); the first steps use one and two D. One evaluation a step.
    """

    def steps(self, denoise: Denoise, y: Tensor, nodes: Nodes, noise: Noise) -> Iterator[Tensor]:
        history: list[tuple[float, Tensor]] = []
        for i in range(len(nodes)):
            sigma, lower = nodes.sigma[i], nodes.sigma[i + 1]
            denoised = denoise(y, sigma)
            history = [(sigma, denoised), *history][:ORDER]
            if nodes.is_last(i):
                y = denoised
            else:
                h = log(sigma / lower)
                weights = multistep_weights([log(sigma / earlier) for earlier, _ in history], h)
                y = exp(-h) * y
                for weight, (_, state) in zip(weights, history, strict=True):
                    y = y + weight * state
            yield y
