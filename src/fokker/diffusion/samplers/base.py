"""The base of all samplers: grid points, the start law and the call."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, final

import torch
from torch import Tensor

from fokker.diffusion.denoiser import DenoiserFunction
from fokker.diffusion.sde import SDE

#: D(y; sigma) inside a solver, sigma a number or (n,).
Denoise = Callable[[Tensor, "float | Tensor"], Tensor]


class Noise(Protocol):
    """The random numbers of a batch of samples."""

    def prior(self) -> Tensor: ...

    def next_increment(self) -> Tensor: ...

    def fresh(self) -> Tensor: ...


@final
@dataclass(frozen=True)
class StartLaw:
    """The data's mean m and variance v, each (*shape), in standardised units."""

    mean: Tensor
    variance: Tensor


@final
class Nodes:
    """The grid's noise levels with their times and scales, as numbers.

    The last grid point, sigma = 0, has no time: for some SDEs it would be infinite.
    """

    def __init__(self, sde: SDE, sigmas: Tensor) -> None:
        times = sde.time(sigmas[:-1])
        self.sigma: list[float] = sigmas.tolist()
        self.t: list[float] = times.tolist()
        self.s: list[float] = [*sde.scale(times).tolist(), 1.0]

    def __len__(self) -> int:
        """Return N, the number of transitions."""
        return len(self.t)

    def is_last(self, i: int) -> bool:
        """Tell whether the transition from grid point i leads to sigma = 0."""
        return i == len(self) - 1


class Sampler(ABC):
    """A solver that walks from noise to data along a grid.

    States are kept as `y = x/s`, in which s disappears from most solvers; a solver in x_t
    multiplies by s itself. The step to sigma = 0 is y = D, Euler's step in sigma, except in
    `Adams`.

    A new sampler is one file with `steps`, one config and one test; one that draws noise also has
    `is_deterministic` and `members`.

    Args:
        sde: the SDE along which, or along whose ODE, it moves.
        num_steps: N, the number of transitions between grid points.
        prior: `published`: start variance sigma_T^2 as in the papers; `matched`: plus the data's
            variance.
    Raises:
        ValueError: if num_steps is below 1 or prior unknown.
    """

    #: Whether it walks the levels a model was trained on, and no other grid.
    needs_levels = False
    #: Whether it chooses its own steps, between the ends of the grid.
    adaptive = False

    def __init__(
        self, sde: SDE, num_steps: int = 100, prior: Literal["published", "matched"] = "published"
    ) -> None:
        if num_steps < 1:
            raise ValueError(f"sampler.num_steps must be at least 1, got {num_steps}")
        if prior not in ("published", "matched"):
            raise ValueError(f"sampler.prior must be published or matched, got {prior}")
        self.sde = sde
        self.num_steps = num_steps
        self.prior = prior

    @property
    def is_deterministic(self) -> bool:
        """Tell whether a sample depends only on its start: `steps` asks for no noise."""
        return True

    def members(self, nodes: Nodes) -> list[float]:
        """Return c of the SDE that each transition discretises, N - 1 numbers.

        The last transition, to sigma = 0, has none. The SDE is
        `dx = [f x - (1 + c^2)/2 g^2 score] dt + c g dw`: c = 0 is the probability-flow ODE, and
        c = inf forgets its start.
        """
        return [0.0] * (len(nodes) - 1)

    @abstractmethod
    def steps(self, denoise: Denoise, y: Tensor, nodes: Nodes, noise: Noise) -> Iterator[Tensor]:
        """Yield the state after each of the N transitions, of which the last is the sample.

        Args:
            denoise: D(y; sigma).
            y: the start, (n, *shape).
            nodes: the grid points.
            noise: the random numbers of stochastic solvers.
        """

    def start(self, sigma: float, law: StartLaw, noise: Noise) -> Tensor:
        """Return y_T ~ N(m, sigma_T^2 + v), (n, *shape)."""
        normal = noise.prior()
        return law.mean.to(normal) + self.start_std(sigma, law).to(normal) * normal

    def start_std(self, sigma: float, law: StartLaw) -> Tensor:
        """Return the start's standard deviation at each element, (*shape), float64."""
        variance = law.variance if self.prior == "matched" else torch.zeros_like(law.variance)
        return (variance.double() + sigma**2).sqrt()

    def __call__(
        self,
        denoiser: DenoiserFunction,
        sigmas: Tensor,
        law: StartLaw,
        noise: Noise,
        watch: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """Return samples, (n, *shape), in standardised units.

        Args:
            denoiser: D(x; sigma).
            sigmas: the grid points, (N + 1,), the last 0.
            law: the data's moments, for the start.
            noise: the random numbers of these samples.
            watch: a callable that takes i and the state y at grid point i, i = 0 ... N.
        """
        nodes = Nodes(self.sde, sigmas)
        y = self.start(nodes.sigma[0], law, noise)
        if watch:
            watch(0, y)

        def denoise(state: Tensor, sigma: float | Tensor) -> Tensor:
            return denoiser(state, torch.as_tensor(sigma, dtype=torch.float64))

        states = self.steps(denoise, y, nodes, noise)
        for i, y in enumerate(states, start=1):
            if watch:
                watch(i, y)
        return y
