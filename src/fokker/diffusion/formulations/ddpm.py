"""The DDPM formulation."""

from typing import Any, final

import torch
from torch import Tensor

from fokker.diffusion.formulations.diffusion import Diffusion
from fokker.diffusion.sde import SDE, VPLinear
from fokker.machine.memory import DOUBLE, check_fits


def ddpm_levels(num_levels: int, beta_min: float, beta_max: float) -> Tensor:
    """Return sigma_1 < ... < sigma_N of the chain `x_k = A_k x_{k-1} + B_k n`, (N,), float64.

    `B_k^2 = (beta_min + (beta_max - beta_min) (k-1)/(N-1)) / N`, which is Ho's
    linspace(1e-4, 0.02) for N = 1000; `A_k^2 = 1 - B_k^2`, `alpha_k = prod A`, `sigma_k =
    sqrt(1 - alpha_k^2)/alpha_k`.

    Raises:
        ValueError: if a B_k^2 is not between 0 and 1, as with N = 20 and beta_max = 20.
    """
    squares = torch.linspace(beta_min, beta_max, num_levels, dtype=torch.float64) / num_levels
    if not (0 < float(squares.min()) and float(squares.max()) < 1):
        raise ValueError(
            f"formulation.num_levels must be above {max(beta_min, beta_max):g} and beta positive, "
            f"so that each B_k^2 is in (0, 1), got num_levels={num_levels} with B_k^2 from "
            f"{float(squares[0]):g} to {float(squares[-1]):g}; use more levels or another sde"
        )
    return torch.expm1(-torch.log1p(-squares).cumsum(0)).sqrt()


@final
class DDPM(Diffusion):
    """Ho 2020, "Denoising Diffusion Probabilistic Models": a chain of N levels.

    Its loss (eq. 14): with k uniform on 1 ... N, `x_k = alpha_k x0 + std_k eps`,

        L_simple = E_{k, x0, eps} | eps - eps_theta(alpha_k x0 + std_k eps, k) |^2.

    With `x = x_k/alpha_k = x0 + sigma_k eps` and `D = x - sigma_k eps_theta` it is
    `|D - x0|^2 / sigma_k^2`: weighting=eps; here divided by d. The chain has the linear VP SDE's
    betas; under another SDE its levels are sigma(t_k), t_k uniform on the sampling range.

    Args:
        sde: the SDE of the chain.
        num_levels: N, the number of levels.
        parts: see `Diffusion`.
    Raises:
        ValueError: if N is below 2, or a B_k^2 is not between 0 and 1.
    """

    def __init__(self, sde: SDE, num_levels: int = 1000, **parts: Any) -> None:
        if num_levels < 2:
            raise ValueError(f"formulation.num_levels must be at least 2, got {num_levels}")
        check_fits("formulation.num_levels", num_levels, 4 * DOUBLE * num_levels, "the chain")
        if isinstance(sde, VPLinear):
            levels = ddpm_levels(num_levels, *sde.betas)
        else:
            start, stop = float(sde.time(sde.sigma_min)), float(sde.time(sde.sigma_max))
            levels = sde.sigma(torch.linspace(start, stop, num_levels, dtype=torch.float64))
        super().__init__(levels=levels, **parts)
