"""The score SDE with its variance-preserving process."""

from typing import final

from fokker.diffusion.formulations.diffusion import Diffusion


@final
class VPSDE(Diffusion):
    """Song 2021, "Score-Based Generative Modeling through Stochastic Differential Equations".

    Its loss (eq. 7): with t uniform on [1e-5, 1], `x(t) = s x(0) + std z`,

        E_t { lambda(t) E | s_theta(x(t), t) - grad log p_0t(x(t) | x(0)) |^2 },
        lambda(t) = 1 / E |grad log p_0t|^2, up to d: std(t)^2,

    which is `|std s_theta + z|^2` in the published code. With `s_theta = (D - x/s)/(s sigma^2)`
    and `z = (x/s - x0)/sigma` it is `|D - x0|^2 / sigma^2`: weighting=eps with
    noise_levels=uniform_time, for VP and sub-VP alike; here divided by d.
    """
