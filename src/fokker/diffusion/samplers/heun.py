"""The second-order family of Heun, midpoint and Ralston."""

from collections.abc import Iterator
from typing import Literal, final

from torch import Tensor

from fokker.diffusion.samplers.base import Denoise, Nodes, Noise, Sampler
from fokker.diffusion.sde import SDE


def second_order_step(
    denoise: Denoise, sde: SDE, y: Tensor, t: float, t_next: float, alpha: float
) -> Tensor:
    """Take one step of the alpha family on the probability-flow ODE, in x_t and t.

    It is `x + h [(1 - 1/(2 alpha)) d + 1/(2 alpha) d']`, d' the slope at t + alpha h (Karras 2022,
    algorithm 3).

    Args:
        denoise: D(y; sigma).
        sde: the SDE whose ODE it is.
        y: the state at t, as x/s.
        t: the time at the step's start.
        t_next: the time at the step's end.
        alpha: 1 Heun, 1/2 midpoint, 2/3 Ralston.
    """

    def slope(x: Tensor, time: float) -> Tensor:
        a, b = sde.velocity(time)
        return a * x + b * denoise(x / float(sde.scale(time)), float(sde.sigma(time)))

    h = t_next - t
    x = float(sde.scale(t)) * y
    first = slope(x, t)
    second = slope(x + alpha * h * first, t + alpha * h)
    x = x + h * ((1 - 1 / (2 * alpha)) * first + 1 / (2 * alpha) * second)
    return x / float(sde.scale(t_next))


def check_alpha(alpha: float) -> float:
    """Return alpha, if it is in (0, 1]."""
    if not 0 < alpha <= 1:
        raise ValueError(
            f"sampler.alpha must be in (0, 1] (1 Heun, 0.5 midpoint, 0.667 Ralston), got {alpha:g}"
        )
    return float(alpha)


@final
class Heun(Sampler):
    """EDM's deterministic sampler with any SDE (Karras 2022, algorithms 1 and 3).

    The order is 2. A transition takes two evaluations, and the last transition one.

    Args:
        alpha: 1 Heun, 1/2 midpoint, 2/3 Ralston.
        sde, num_steps, prior: see `Sampler`.
    Raises:
        ValueError: if alpha is not in (0, 1].
    """

    def __init__(
        self,
        sde: SDE,
        num_steps: int = 18,
        alpha: float = 1.0,
        prior: Literal["published", "matched"] = "published",
    ) -> None:
        super().__init__(sde, num_steps, prior)
        self.alpha = check_alpha(alpha)

    def steps(self, denoise: Denoise, y: Tensor, nodes: Nodes, noise: Noise) -> Iterator[Tensor]:
        for i in range(len(nodes)):
            if nodes.is_last(i):
                y = denoise(y, nodes.sigma[i])
            else:
                y = second_order_step(denoise, self.sde, y, nodes.t[i], nodes.t[i + 1], self.alpha)
            yield y
