"""The probability-flow ODE to a tolerance."""

from collections.abc import Iterator
from math import inf, log
from typing import Literal, final

import torch
from torch import Tensor

from fokker.diffusion.samplers.base import Denoise, Nodes, Noise, Sampler
from fokker.diffusion.samplers.dormand_prince import NotFiniteError, ToleranceError, integrate
from fokker.diffusion.sde import SDE
from fokker.machine.named_files import one_line

MAX_ROUNDS = 10_000


@final
class ODEAdaptive(Sampler):
    """Dormand-Prince 5(4) on `dy/dlambda = D(y; e^{-lambda}) - y`, lambda = -ln sigma.

    It goes from the grid's highest to its lowest noise, and ends with D. Every sample has its own
    step length, so it does not depend on its batch. The SDE plays no part: all have this one ODE
    in y.

    Args:
        rtol, atol: the tolerances of a step, relative and absolute, as a root mean square.
        num_steps: null, for the steps are its own.
        sde, prior: see `Sampler`.
    Raises:
        ValueError: if a tolerance is not positive and finite or num_steps is given; when sampling,
            if the tolerance cannot be met.
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
                "sampler.num_steps must be null for ode_adaptive, got "
                f"{one_line(str(num_steps))}; "
                "it chooses its own steps by sampler.rtol and sampler.atol"
            )
        # Its grid is only the range: the highest noise, the lowest, 0.
        super().__init__(sde, 2, prior)
        if not (0 < rtol < inf and 0 < atol < inf):
            raise ValueError(
                "sampler.rtol and sampler.atol must be positive and finite, got "
                f"{rtol:g} and {atol:g}"
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
        """Return the state at lambda = stop, from lambda = start; each sample has its own steps."""

        def slope(state: Tensor, place: Tensor, rows: Tensor) -> Tensor:
            return denoise(state, torch.exp(-place)) - state

        try:
            return integrate(slope, y, start, stop, self.rtol, self.atol, MAX_ROUNDS).state
        except NotFiniteError:
            raise ValueError(
                "the denoiser is not finite, so ode_adaptive cannot go on"
            ) from None
        except ToleranceError:
            raise ValueError(
                f"ode_adaptive did not reach its tolerance in {MAX_ROUNDS} rounds; raise "
                f"sampler.rtol={self.rtol:g} and sampler.atol={self.atol:g}"
            ) from None
