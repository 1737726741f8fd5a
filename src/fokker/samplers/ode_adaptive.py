"""The probability-flow ODE to a tolerance."""

from collections.abc import Iterator
from math import log
from typing import Literal, final

import torch
from torch import Tensor

from fokker.denoiser import per_sample
from fokker.samplers.base import Denoise, Nodes, Noise, Sampler
from fokker.sde import SDE

# Dormand & Prince 1980: stages, the fifth-order solution and its difference to the fourth.
NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
MAX_ROUNDS = 10_000


@final
class ODEAdaptive(Sampler):
    """Dormand-Prince 5(4) on `dy/dlambda = D(y; e^{-lambda}) - y`, lambda = -ln sigma.

    From the grid's highest to its lowest noise, then D. Every sample has its own step length, so
    it does not depend on its batch. The SDE plays no part: all have this one ODE in y.

    Args:
        rtol, atol: tolerances of a step, relative and absolute, as a root mean square.
        num_steps: null, for the steps are its own.
        sde, prior: see `Sampler`.
    Raises:
        ValueError: if a tolerance is not positive or num_steps is given; in sampling, if the
            tolerance cannot be met.
    """

    adaptive = True

    def __init__(
        self,
        sde: SDE,
        rtol: float = 1e-5,
        atol: float = 1e-5,
        num_steps: None = None,
        prior: Literal["published", "matched"] = "published",
    ) -> None:
        if num_steps is not None:
            raise ValueError(
                f"sampler.num_steps must be null for ode_adaptive, got {num_steps}; it chooses its "
                "own steps by sampler.rtol and sampler.atol"
            )
        # Its grid is the range alone: the highest node, the lowest, 0.
        super().__init__(sde, 2, prior)
        if not (rtol > 0 and atol > 0):
            raise ValueError(
                f"sampler.rtol and sampler.atol must be positive, got {rtol:g} and {atol:g}"
            )
        self.rtol, self.atol = float(rtol), float(atol)

    def steps(self, denoise: Denoise, y: Tensor, nodes: Nodes, noise: Noise) -> Iterator[Tensor]:
        for i in range(len(nodes)):
            if nodes.is_last(i):
                y = denoise(y, nodes.sigma[i])
            else:
                y = self._integrate(denoise, y, -log(nodes.sigma[i]), -log(nodes.sigma[i + 1]))
            yield y

    def _integrate(self, denoise: Denoise, y: Tensor, start: float, stop: float) -> Tensor:
        """The state at lambda = stop, from lambda = start; each sample in steps of its own."""
        y = y.clone()
        place = torch.full((len(y),), start, dtype=torch.float64, device=y.device)
        length = torch.full_like(place, min(0.05, stop - start))
        slope = denoise(y, torch.exp(-place)) - y
        active = torch.arange(len(y), device=y.device)
        for _ in range(MAX_ROUNDS):
            state, at, h = y[active], place[active], torch.minimum(length, stop - place)[active]
            slopes, new = self._stages(denoise, state, slope[active], at, h)
            error = per_sample(h, state) * _combined(ERROR, slopes)
            size = self.atol + self.rtol * torch.maximum(state.abs(), new.abs())
            norm = (error / size).flatten(1).square().mean(1).sqrt().double()
            if not torch.isfinite(norm).all():
                raise ValueError("the denoiser is not finite, so ode_adaptive cannot go on")
            accepted = norm <= 1
            moved = active[accepted]
            y[moved], slope[moved] = new[accepted], slopes[-1][accepted]
            place[moved] = (at + h)[accepted]
            length[active] = h * (0.9 * norm.clamp(min=1e-10) ** -0.2).clamp(0.2, 5.0)
            active = active[place[active] < stop - 1e-12]
            if len(active) == 0:
                return y
        raise ValueError(
            f"ode_adaptive did not reach its tolerance in {MAX_ROUNDS} rounds; raise sampler.rtol="
            f"{self.rtol:g} and sampler.atol={self.atol:g}"
        )

    def _stages(
        self, denoise: Denoise, y: Tensor, slope: Tensor, at: Tensor, h: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """The seven slopes of a step and the fifth-order state, which is the last stage."""
        slopes, state = [slope], y
        for node, row in zip(NODES, STAGES, strict=True):
            state = y + per_sample(h, y) * _combined(row, slopes)
            slopes.append(denoise(state, torch.exp(-(at + node * h))) - state)
        return slopes, state


def _combined(row: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    total = row[0] * slopes[0]
    for weight, slope in zip(row[1:], slopes[1:], strict=True):
        total = total + weight * slope
    return total
