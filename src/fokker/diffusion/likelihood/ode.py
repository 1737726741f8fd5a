"""The likelihood of data by the probability-flow ODE.

In y = x/s it is `dy/dlambda = D(y; e^{-lambda}) - y`, lambda = -ln sigma, for every SDE: latents
and likelihoods depend only on the denoiser and the two noise levels.

The state is kept in float64, where tolerances of 1e-10 are in reach. A module computes D in the
dtype of its weights: with float32 weights the rounding of D, about 1e-7, moves a likelihood by
about 1e-6 nats, so that tolerances below 1e-7 gain nothing; `copy.deepcopy(denoiser).double()` has
no such limit.
"""

from dataclasses import dataclass
from math import inf, log
from typing import final

import torch
from torch import Tensor

from fokker.diffusion.denoiser import DenoiserFunction
from fokker.diffusion.likelihood.divergence import Divergence
from fokker.diffusion.likelihood.prior import Prior
from fokker.diffusion.samplers.dormand_prince import integrate


@final
@dataclass(frozen=True)
class LogLikelihood:
    """`log p(x; sigma_min)` in nats, (n,), with the latents and the cost.

    latents are y_T, (n, *shape); evaluations, (n,), is the number of evaluations of D and its
    divergence for each sample.
    """

    nats: Tensor
    latents: Tensor
    evaluations: Tensor


def encode(
    denoiser: DenoiserFunction,
    x: Tensor,
    sigma_min: float,
    sigma_max: float,
    rtol: float = 1e-5,
    atol: float = 1e-5,
) -> Tensor:
    """Return the latents y_T at sigma_max of x at sigma_min, (n, *shape), float64.

    Args:
        denoiser: D(y; sigma).
        x: the points, (n, *shape), in standardised units.
        sigma_min, sigma_max: the ends of the walk.
        rtol, atol: the tolerances of a step, relative and absolute.
    Raises:
        ValueError: if the range is not `0 < sigma_min < sigma_max < inf`, a tolerance is not
            positive, x is no batch, the denoiser is not finite, or the tolerance is out of reach.
    """
    start, stop = _ends(sigma_min, sigma_max)
    return _walk(denoiser, x, start, stop, rtol, atol)


def decode(
    denoiser: DenoiserFunction,
    y: Tensor,
    sigma_min: float,
    sigma_max: float,
    rtol: float = 1e-5,
    atol: float = 1e-5,
) -> Tensor:
    """Return x at sigma_min from the latents y at sigma_max, (n, *shape), float64.

    It is the inverse of `encode`, with the same arguments and errors.
    """
    start, stop = _ends(sigma_min, sigma_max)
    return _walk(denoiser, y, stop, start, rtol, atol)


@torch.no_grad()
def log_likelihood(
    divergence: Divergence,
    x: Tensor,
    prior: Prior,
    sigma_min: float,
    sigma_max: float,
    rtol: float = 1e-5,
    atol: float = 1e-5,
) -> LogLikelihood:
    """Return `log p(x; sigma_min) = log N(y_T; m, sigma_T^2 + v) + int (d - tr dD/dy) dln sigma`.

    The integral goes from sigma_min to sigma_max along the ODE (Song 2021, eq. 39, in y). It is
    one more element of the state, so that the tolerance holds for it too. Its error is up to
    sqrt(d + 1) times a tolerance; for a sum over d elements this is no more an element than in y.

    Args:
        divergence: D and its trace; see `Divergence`.
        x: the points, (n, *shape), in standardised units.
        prior: the law of y_T.
        sigma_min, sigma_max: the ends of the walk.
        rtol, atol: the tolerances of a step, relative and absolute.
    Raises:
        ValueError: as in `encode`.
    """
    start, stop = _ends(sigma_min, sigma_max)
    _check(x, rtol, atol)
    d = x[0].numel() if len(x) else 0

    def slope(state: Tensor, place: Tensor, rows: Tensor) -> Tensor:
        y = state[:, :d].reshape(-1, *x.shape[1:])
        value, trace = divergence(y, torch.exp(-place), rows)
        return torch.cat([(value - y).flatten(1), (trace - d)[:, None]], dim=1)

    begin = torch.cat([x.double().flatten(1), x.new_zeros(len(x), 1, dtype=torch.float64)], dim=1)
    end = integrate(slope, begin, start, stop, rtol, atol)
    latents = end.state[:, :d].reshape(x.shape)
    nats = prior.log_prob(latents, sigma_max) + end.state[:, d]
    return LogLikelihood(nats, latents, end.evaluations)


@torch.no_grad()
def _walk(
    denoiser: DenoiserFunction, y: Tensor, start: float, stop: float, rtol: float, atol: float
) -> Tensor:
    _check(y, rtol, atol)

    def slope(state: Tensor, place: Tensor, rows: Tensor) -> Tensor:
        return denoiser(state, torch.exp(-place)) - state

    return integrate(slope, y.double(), start, stop, rtol, atol).state


def _ends(sigma_min: float, sigma_max: float) -> tuple[float, float]:
    """Return lambda = -ln sigma at sigma_min and at sigma_max."""
    if not 0 < sigma_min < sigma_max < inf:
        raise ValueError(
            f"sigma_min must be positive and below sigma_max={sigma_max:g}, which must be finite, "
            f"got {sigma_min:g}"
        )
    return -log(sigma_min), -log(sigma_max)


def _check(x: Tensor, rtol: float, atol: float) -> None:
    if x.dim() < 2:
        raise ValueError(f"x must have shape (n, *shape), got {tuple(x.shape)}; use x[:, None]")
    if not (rtol > 0 and atol > 0):
        raise ValueError(f"rtol and atol must be positive, got {rtol:g} and {atol:g}")
