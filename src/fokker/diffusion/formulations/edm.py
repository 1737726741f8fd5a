"""The EDM formulation."""

from typing import final

from fokker.diffusion.formulations.diffusion import Diffusion


@final
class EDM(Diffusion):
    """Karras 2022, "Elucidating the Design Space of Diffusion-Based Generative Models".

    Its loss (eq. 8): with `ln sigma ~ N(P_mean, P_std^2)`, `n ~ N(0, sigma^2 I)`,

        E_{sigma, y, n} [ lambda(sigma) c_out(sigma)^2
            | F(c_in (y + n); c_noise) - (y - c_skip (y + n)) / c_out |^2 ],

    and `lambda(sigma) = 1/c_out(sigma)^2`. The norm is `|D - y|^2 / c_out^2`, so this is
    `lambda |D - x0|^2` with preconditioning=edm and weighting=edm; here divided by d.
    """
