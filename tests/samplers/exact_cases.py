"""Data whose denoiser, flow and laws are known, and a solver seen as an affine map."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from fokker.diffusion.samplers import (
    DDIM,
    Adams,
    Ancestral,
    AnnealedLangevin,
    DPMpp2M,
    DPMpp2MSDE,
    DPMpp3M,
    EDMStochastic,
    Euler,
    EulerMaruyama,
    Heun,
    Nodes,
    ODEAdaptive,
    PredictorCorrector,
    ReverseDiffusion,
    Sampler,
    StartLaw,
)
from fokker.diffusion.sde import SDE

#: Every sampler, once; made as `SAMPLERS[name](sde, num_steps)`.
SAMPLERS: dict[str, Callable[[SDE, int], Sampler]] = {
    "euler": lambda sde, n: Euler(sde, n),
    "heun": lambda sde, n: Heun(sde, n),
    "midpoint": lambda sde, n: Heun(sde, n, alpha=0.5),
    "ralston": lambda sde, n: Heun(sde, n, alpha=2 / 3),
    "ddim": lambda sde, n: DDIM(sde, n),
    "ddim_half": lambda sde, n: DDIM(sde, n, eta=0.5),
    "ancestral_small": lambda sde, n: Ancestral(sde, n),
    "ancestral_large": lambda sde, n: Ancestral(sde, n, variance=1.0),
    "dpmpp_2m": lambda sde, n: DPMpp2M(sde, n),
    "dpmpp_2m_sde": lambda sde, n: DPMpp2MSDE(sde, n),
    "dpmpp_3m": lambda sde, n: DPMpp3M(sde, n),
    "adams": lambda sde, n: Adams(sde, n),
    "edm_stochastic": lambda sde, n: EDMStochastic(sde, n),
    "euler_maruyama": lambda sde, n: EulerMaruyama(sde, n),
    "reverse_diffusion": lambda sde, n: ReverseDiffusion(sde, n),
    "predictor_corrector": lambda sde, n: PredictorCorrector(sde, n),
    "annealed_langevin": lambda sde, n: AnnealedLangevin(sde, n),
    "ode_adaptive": lambda sde, n: ODEAdaptive(sde),
}

MEAN, STD = 0.7, 0.35
VARIANCE = STD**2


def column(sigma: "float | Tensor", like: Tensor) -> Tensor:
    return torch.as_tensor(sigma, dtype=like.dtype).reshape(-1, *[1] * (like.dim() - 1))


@final
class Gaussian:
    """N(0.7, 0.35^2) in every coordinate; counts the rows that it denoises."""

    law = StartLaw(torch.tensor([MEAN]).double(), torch.tensor([VARIANCE]).double())

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, x: Tensor, sigma: "float | Tensor") -> Tensor:
        self.rows += len(x)
        square = column(sigma, x) ** 2
        return (square * MEAN + VARIANCE * x) / (square + VARIANCE)


@final
class Mixture:
    """0.3 N(0.1, 0.2^2) + 0.7 N(1.0, 0.35^2), in every coordinate; counts rows as `Gaussian`."""

    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    means = torch.tensor([0.1, 1.0], dtype=torch.float64)
    stds = torch.tensor([0.2, 0.35], dtype=torch.float64)
    law = StartLaw(torch.tensor([0.73]).double(), torch.tensor([0.26785]).double())

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, x: Tensor, sigma: "float | Tensor") -> Tensor:
        self.rows += len(x)
        means, variances = self.means.to(x.dtype), self.stds.to(x.dtype) ** 2
        square, state = column(sigma, x)[..., None] ** 2, x[..., None]
        total = variances + square
        logits = self.weights.to(x.dtype).log() - total.log() / 2 - (state - means) ** 2 / total / 2
        denoised = (square * means + variances * state) / total
        return (logits.softmax(-1) * denoised).sum(-1)

    def distribution(self, x: Tensor, sigma: float) -> Tensor:
        """P(x0 + sigma n <= x)."""
        total = (self.stds**2 + sigma**2).sqrt()
        return (self.weights * torch.special.ndtr((x[..., None] - self.means) / total)).sum(-1)

    def quantile(self, u: Tensor, sigma: float) -> Tensor:
        low = torch.full_like(u, -10 - 10 * sigma)
        high = -low
        for _ in range(90):
            middle = (low + high) / 2
            below = self.distribution(middle, sigma) < u
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2


#: The probabilities whose quantiles the flow of the mixture carries along.
PROBABILITIES = torch.linspace(0.02, 0.98, 49, dtype=torch.float64)[:, None]


@final
class NoNoise:
    """For deterministic solvers: to ask for noise is an error."""

    def prior(self) -> Tensor:
        raise AssertionError("a deterministic solver asked for a start")

    def next_increment(self) -> Tensor:
        raise AssertionError("a deterministic solver asked for an increment")

    def fresh(self) -> Tensor:
        raise AssertionError("a deterministic solver asked for noise")


@final
class GeneratorNoise:
    """Independent float64 noise from one generator, in the order of the questions."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self.shape, self.generator = shape, torch.Generator().manual_seed(seed)

    def prior(self) -> Tensor:
        return torch.randn(self.shape, generator=self.generator, dtype=torch.float64)

    def next_increment(self) -> Tensor:
        return self.prior()

    def fresh(self) -> Tensor:
        return self.prior()


@final
class UnitNoise:
    """The j-th noise asked for is 1 in row 2 + j and 0 elsewhere."""

    def __init__(self, rows: int) -> None:
        self.rows, self.asked = rows, 0

    def prior(self) -> Tensor:
        raise AssertionError("the start is given")

    def next_increment(self) -> Tensor:
        return self.fresh()

    def fresh(self) -> Tensor:
        noise = torch.zeros(self.rows, 1, dtype=torch.float64)
        noise[2 + self.asked] = 1
        self.asked += 1
        return noise


@final
@dataclass(frozen=True)
class Affine:
    """A solver on Gaussian data: state = offset + slope y + sum_j noise_j n_j."""

    offset: float
    slope: float
    noise: list[float] = field(default_factory=list)

    def mean(self, start: float) -> float:
        return self.offset + self.slope * start

    def variance(self, start: float) -> float:
        return self.slope**2 * start + sum(weight**2 for weight in self.noise)


def states(
    sampler: Sampler,
    sigmas: Tensor,
    denoise: "Callable[[Tensor, float | Tensor], Tensor]",
    y: Tensor,
    noise: object,
) -> Iterator[Tensor]:
    return sampler.steps(denoise, y, Nodes(sampler.sde, sigmas), noise)  # type: ignore[arg-type]


def affine_map(
    sampler: Sampler, sigmas: Tensor, transitions: int | None = None, draws_a_step: int = 1
) -> Affine:
    """The solver's map over the first `transitions` steps, exactly.

    With the denoiser of a Gaussian every solver is affine in its start and noises, so that it is
    known from its values at y = 0 and 1 without noise, and at y = 0 with each noise alone, which
    are the rows of one batch.
    """
    rows = 2 + draws_a_step * (len(sigmas) - 1)
    y = torch.zeros(rows, 1, dtype=torch.float64)
    y[1] = 1
    noise = UnitNoise(rows)
    for i, state in enumerate(states(sampler, sigmas, Gaussian(), y, noise), start=1):
        result = state.squeeze(1).tolist()
        if i == transitions:
            break
    offset = result[0]
    return Affine(offset, result[1] - offset, [value - offset for value in result[2:]])


def flow_error(sampler: Sampler, sigmas: Tensor, mixture: Mixture) -> float:
    """The r.m.s. error at the last noise above 0, against the exact flow map of the mixture.

    That keeps probabilities: F_low^-1(F_high(y)).
    """
    start, end = (mixture.quantile(PROBABILITIES, float(sigmas[i])) for i in (0, -2))
    walk = states(sampler, sigmas, mixture, start, NoNoise())
    for _ in range(len(sigmas) - 2):
        state = next(walk)
    return float((state - end).square().mean().sqrt())


def measured_order(steps: list[int], errors: list[float]) -> float:
    """Minus the slope of ln error over ln N, by least squares."""
    logs = torch.tensor([[math.log(n), math.log(e)] for n, e in zip(steps, errors)]).double()
    centred = logs - logs.mean(0)
    return -float((centred[:, 0] * centred[:, 1]).sum() / (centred[:, 0] ** 2).sum())
