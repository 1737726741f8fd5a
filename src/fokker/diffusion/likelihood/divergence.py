"""The divergence of the denoiser, `tr dD/dy`: exact, by random probes, or of a known law."""

from collections.abc import Callable
from typing import Literal, Protocol, final

import torch
from torch import Tensor

from fokker.diffusion.denoiser import DenoiserFunction
from fokker.distributions import Distribution
from fokker.randomness import Randomness


class Divergence(Protocol):
    """A function that gives `D(y; sigma)`, (m, *shape), and `tr dD/dy`, (m,), float64.

    y is (m, *shape), sigma (m,); rows, (m,), are the numbers of these samples in the batch.
    """

    def __call__(self, y: Tensor, sigma: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]: ...


@final
class ExactDivergence:
    """The trace of the Jacobian, entry by entry: one backward pass for each of the d elements.

    It suits small d, say up to 16. The denoiser of a sample must not depend on the others.

    Args:
        denoiser: D(y; sigma), differentiable by torch.
    """

    def __init__(self, denoiser: DenoiserFunction) -> None:
        self._denoiser = denoiser

    @torch.no_grad()
    def __call__(self, y: Tensor, sigma: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        value, pull = _with_pullback(self._denoiser, y, sigma)
        points = y.flatten(1)
        trace = torch.zeros_like(points[:, 0])
        for i in range(points.shape[1]):
            unit = torch.zeros_like(points)
            unit[:, i] = 1
            trace += pull(unit.reshape(y.shape)).flatten(1)[:, i]
        return value, trace


@final
class HutchinsonDivergence:
    """The mean of `e^T (dD/dy) e` over probes e with E e e^T = I, each one backward pass.

    The estimate is unbiased (FFJORD, Grathwohl 2019, eq. 7 and 8). With one probe its variance is
    `2 (|S|_F^2 - sum S_ii^2)` for `rademacher`, so 0 in one dimension, and `2 |S|_F^2` for
    `gaussian`, S the symmetric part of the Jacobian. A sample keeps its probes throughout, or the
    integrand would not be a function of the state. They depend on (seed, number of the sample).

    Args:
        denoiser: D(y; sigma), differentiable by torch.
        randomness: the random numbers of the run's seed.
        start, stop: the numbers of the batch's samples.
        shape: the shape of one sample.
        probes: the number of probes a sample.
        kind: the law of the probes.
    Raises:
        ValueError: if probes is below 1 or kind unknown.
    """

    def __init__(
        self,
        denoiser: DenoiserFunction,
        randomness: Randomness,
        start: int,
        stop: int,
        shape: tuple[int, ...],
        probes: int = 1,
        kind: Literal["rademacher", "gaussian"] = "rademacher",
    ) -> None:
        if probes < 1:
            raise ValueError(f"probes must be at least 1, got {probes}")
        if kind not in ("rademacher", "gaussian"):
            raise ValueError(f"the probes' kind must be rademacher or gaussian, got {kind}")
        self._denoiser = denoiser
        drawn = [randomness.normal("probe", start, stop, shape, step) for step in range(probes)]
        normal = torch.stack(drawn).double()
        # sign() is not used, for it may be 0.
        self._probes = normal if kind == "gaussian" else torch.where(normal < 0, -1.0, 1.0).double()

    @torch.no_grad()
    def __call__(self, y: Tensor, sigma: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        value, pull = _with_pullback(self._denoiser, y, sigma)
        trace = torch.zeros_like(y.flatten(1)[:, 0])
        for probe in self._probes[:, rows.to(self._probes.device)].to(y.device):
            trace += (pull(probe) * probe).flatten(1).sum(1)
        return value, trace / len(self._probes)


@final
class LawDivergence:
    """The perfect denoiser of a known law; `tr dD/dy = tr Var(x0 | y) / sigma^2` needs no autograd.

    Args:
        law: the law of d coordinates, in the units of y; samples of any shape are read as vectors.
    """

    def __init__(self, law: Distribution) -> None:
        self._law = law

    def __call__(self, y: Tensor, sigma: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        points = y.flatten(1)
        trace = self._law.posterior_variance(points, sigma) / sigma**2
        return self._law.denoise(points, sigma).reshape(y.shape), trace


def _with_pullback(
    denoiser: DenoiserFunction, y: Tensor, sigma: Tensor
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return D, and the product of a vector for each sample with the Jacobian, `v -> v^T dD/dy`."""
    # The mode is backward: every layer has a backward pass, but not every one has a jvp.
    value, pull = torch.func.vjp(lambda state: denoiser(state, sigma), y)[:2]
    return value, lambda vector: pull(vector)[0]
