"""The error of a model's samples, split into its causes."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from fokker.diffusion.analysis.model import Model
from fokker.diffusion.denoiser import DenoiserFunction, ExactDenoiser
from fokker.diffusion.likelihood import decode
from fokker.diffusion.samplers import GivenStart, Noise, Sampler, StartLaw
from fokker.distributions import Affine
from fokker.randomness import Randomness, SamplingNoise

TOLERANCE = 1e-8
# The float32 weights of a network allow no smaller tolerance.
NETWORK_TOLERANCE = 1e-5
# The flow to sigma = 0 stops at this share of sigma_min; the error is of second order in it.
NEARLY_ZERO = 1e-3


@final
@dataclass(frozen=True)
class ErrorBudget:
    """The displacement of samples from the exact law, split along a chain of maps.

    Attributes:
        terms: the signed displacements between neighbours of the chain, in the data's units,
            (n, d), by name: truncation, prior, discretisation, learning. They add exactly to
            `measured`.
        learning_limit: the learning error at infinitely many steps, (n, d), which is not part of
            the sum; None for a stochastic sampler.
        u: the quantiles of the rows, (n,), in one dimension; None in more.
    """

    terms: dict[str, Tensor]
    learning_limit: Tensor | None
    u: Tensor | None

    @property
    def measured(self) -> Tensor:
        """Return the whole displacement, (n, d)."""
        return torch.stack(list(self.terms.values())).sum(0)

    def rows(self) -> list[dict[str, str | float]]:
        """Return the r.m.s. and the mean length of each term and of the sum; these do not add.

        In one dimension they are W2 and W1 between neighbours, where the maps are increasing.
        """
        named = {**self.terms, "measured": self.measured}
        if self.learning_limit is not None:
            named["learning, N to infinity"] = self.learning_limit
        lengths = {name: term.square().sum(1).sqrt() for name, term in named.items()}
        return [
            {"term": name, "rms": float(x.square().mean().sqrt()), "mean": float(x.mean())}
            for name, x in lengths.items()
        ]


def error_budget(
    model: Model, sampler: Sampler, nodes: Tensor, count: int, randomness: Randomness
) -> ErrorBudget:
    """Split the error of samples into its causes, on data of a known law.

    A chain of maps takes the same start to five ends; in brackets is the error that each step of
    the chain adds: the exact law -> the exact flow from p_T to sigma_min, then D* (truncation) ->
    the same flow from the prior (prior) -> the ideal denoiser D* with this sampler on this grid
    (discretisation) -> the model with this sampler on this grid (learning).

    In one dimension a start is a quantile, and flows are maps between quantiles, `F_2^-1(F_1(x))`:
    there is no Monte-Carlo noise. The samples of a stochastic sampler are sorted, so that its
    displacements are between quantiles of laws; they contain the sampling noise of `count` samples.

    In more dimensions the flow is D*'s probability-flow ODE at rtol 1e-8. The exact flow starts at
    the prior's start, moved by the affine map that gives it the mean and covariance of p_T. This
    neglects that p_T is not Gaussian, an effect of third order in 1/sigma_T.

    Args:
        model: a model with a data set of known law.
        sampler, nodes: the sampler and its grid points, from the highest noise to 0.
        count: the number of starts.
        randomness: the random numbers of starts in more than one dimension, and of a stochastic
            sampler's steps.
    Raises:
        ValueError: if the data's law is not known, or the sampler is stochastic in more than one
            dimension.
    """
    data, law = model.data, _known_law(model, sampler)
    u = (torch.arange(count, dtype=torch.float64) + 0.5) / count if law.dim == 1 else None
    random = randomness.normal("prior", 0, count, data.shape)
    normal = random.double() if u is None else torch.special.ndtri(u).reshape(random.shape)

    def noise() -> Noise:
        steps = SamplingNoise(randomness, 0, count, data.shape, len(nodes) - 1)
        return GivenStart(normal, steps)

    def sampled(denoiser: DenoiserFunction) -> Tensor:
        points = sampler(denoiser, nodes, model.start_law, noise()).flatten(1)
        return points if sampler.is_deterministic else points.sort(0).values

    high, low = float(nodes[0]), float(nodes[-2])
    start = sampler.start(high, model.start_law, noise())
    with torch.no_grad():
        chain = _exact_ends(law, u, start.flatten(1), high, low, sampler, model.start_law)
        chain.append(sampled(ExactDenoiser(law)))
        chain.append(chain[-1] if model.is_exact else sampled(model.denoiser))
        limit = None
        if sampler.is_deterministic:
            endless = chain[2]
            if not model.is_exact:
                endless = _flow(model.denoiser, start, high, low, NETWORK_TOLERANCE)
            limit = (endless.flatten(1) - chain[2]) * data.scale
    names = ("truncation", "prior", "discretisation", "learning")
    terms = {
        name: (after - before) * data.scale
        for name, before, after in zip(names, chain, chain[1:], strict=False)
    }
    return ErrorBudget(terms, limit, u)


def _known_law(model: Model, sampler: Sampler) -> Affine:
    """Return the law of a model's data, if a budget of this sampler is possible.

    Raises:
        ValueError: see `error_budget`.
    """
    law = model.data.model_law
    if law is None or not model.data.fresh:
        raise ValueError("an error budget needs data of known law, drawn fresh")
    if law.dim > 1 and not sampler.is_deterministic:
        raise ValueError(
            "an error budget in more than one dimension needs a deterministic sampler; choose one "
            "such as sampler=heun"
        )
    return law


def _exact_ends(
    law: Affine,
    u: Tensor | None,
    start: Tensor,
    high: float,
    low: float,
    sampler: Sampler,
    moments: StartLaw,
) -> list[Tensor]:
    """Return the exact law, and D* after the exact flow from p_T and from the prior, (n, d)."""
    if u is not None:
        from_prior = law.quantile(law.cdf(start, high), low)
        return [
            law.quantile(u)[:, None],
            law.denoise(law.quantile(u, low), low),
            law.denoise(from_prior, low),
        ]
    denoiser = ExactDenoiser(law)
    mean, spread = moments.mean.flatten(), sampler.start_std(high, moments).flatten()
    total = law.covariance + high**2 * torch.eye(law.dim, dtype=torch.float64)
    values, axes = torch.linalg.eigh(total / spread / spread[:, None])
    root = (axes * values.sqrt()) @ axes.T
    marginal = mean + ((start - mean) / spread) @ root * spread
    return [
        _flow(denoiser, marginal, high, NEARLY_ZERO * low),
        _flow(denoiser, marginal, high, low),
        _flow(denoiser, start, high, low),
    ]


def _flow(
    denoiser: DenoiserFunction,
    start: Tensor,
    high: float,
    low: float,
    tolerance: float = TOLERANCE,
) -> Tensor:
    """Return D after the probability-flow ODE from sigma = high to low, shaped like `start`."""
    y = start if low == high else decode(denoiser, start, low, high, tolerance, tolerance)
    return denoiser(y, torch.tensor(low, dtype=torch.float64))
