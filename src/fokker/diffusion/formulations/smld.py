"""The SMLD formulation."""

import math
from typing import Any, final

import torch

from fokker.data import StandardizedData
from fokker.diffusion.formulations.diffusion import Diffusion
from fokker.diffusion.formulations.start import max_distance, standardized
from fokker.machine.memory import DOUBLE, check_fits


@final
class SMLD(Diffusion):
    """Song & Ermon 2019, "Generative Modeling by Estimating Gradients of the Data Distribution".

    Its loss (eq. 5 and 6): with i uniform over L geometric levels, `x~ ~ N(x, sigma_i^2 I)`,

        1/L sum_i sigma_i^2 l_i,    l_i = 1/2 E | s_theta(x~, sigma_i) + (x~ - x)/sigma_i^2 |^2.

    With `s_theta = (D - x~)/sigma^2` the norm is `|D - x|^2 / sigma^4`, so this is
    `|D - x0|^2 / (2 sigma^2)`: weighting=smld; here divided by d.

    Args:
        data: the data to train on, which give the largest level.
        num_levels: L, the number of levels.
        sigma_min: the smallest level; null: 0.02, which is 0.01 for data of std 0.25.
        sigma_max: the largest level; null: the largest distance between two data points (Song &
            Ermon 2020, technique 1). Where all points are equal, it is `sigma_data sqrt(2 d)`, the
            distance between two points of independent elements.
        parts: see `Diffusion`.
    Raises:
        ValueError: if L is below 2 or the range is reversed or not positive.
    """

    def __init__(
        self,
        data: StandardizedData,
        num_levels: int = 100,
        sigma_min: float | None = None,
        sigma_max: float | None = None,
        **parts: Any,
    ) -> None:
        if num_levels < 2:
            raise ValueError(f"formulation.num_levels must be at least 2, got {num_levels}")
        check_fits("formulation.num_levels", num_levels, 4 * DOUBLE * num_levels, "the chain")
        low = 0.02 if sigma_min is None else sigma_min
        high = _largest_level(standardized(data, "SMLD")) if sigma_max is None else sigma_max
        if not 0 < low < high < math.inf:
            raise ValueError(
                "formulation.sigma_min must be positive and below formulation.sigma_max="
                f"{high:g}, which must be finite, got {low:g}"
            )
        ratio = torch.linspace(0, 1, num_levels, dtype=torch.float64)
        super().__init__(data=data, levels=low * (high / low) ** ratio, **parts)


def _largest_level(data: StandardizedData) -> float:
    apart = data.sigma_data * math.sqrt(2 * math.prod(data.shape))
    # The distance of equal points is computed as up to 1e-7 of their norm.
    distance = max_distance(data)
    return distance if distance > 1e-6 * apart else apart
