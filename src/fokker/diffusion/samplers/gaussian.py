"""The law of a sampler's samples on Gaussian data, known without a sample."""

from collections import deque
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from fokker.diffusion.samplers.base import Nodes, Sampler
from fokker.diffusion.samplers.predictor_corrector import PredictorCorrector

#: The numbers in one run of the sampler, which follows many draws of noise in one batch.
_RUN_NUMBERS = 1 << 17


@final
@dataclass(frozen=True)
class GaussianAnswer:
    """The sample `gain y + sqrt(variance) n` for data N(0, v) and the start y.

    Attributes:
        gain, variance: the numbers for each v, (d,), not finite where the sampler diverges.
    """

    gain: Tensor
    variance: Tensor


@final
class _Probe:
    """Noise that is 1 in row k at the k-th of the numbered `draws`, and 0 elsewhere."""

    def __init__(self, shape: torch.Size, draws: range) -> None:
        self._shape, self._draws, self.asked = shape, draws, 0

    def prior(self) -> Tensor:
        return torch.zeros(self._shape, dtype=torch.float64)

    def next_increment(self) -> Tensor:
        return self.fresh()

    def fresh(self) -> Tensor:
        noise = torch.zeros(self._shape, dtype=torch.float64)
        if self.asked in self._draws:
            noise[self.asked - self._draws.start] = 1
        self.asked += 1
        return noise


def _run(
    sampler: Sampler, nodes: Nodes, variances: Tensor, y: Tensor, mean: float, draws: range
) -> tuple[Tensor, int]:
    """Return the sample for data with this mean in every coordinate, and the number of draws."""
    probe = _Probe(y.shape, draws)

    def denoise(state: Tensor, sigma: float | Tensor) -> Tensor:
        noise = torch.as_tensor(sigma, dtype=torch.float64).reshape(-1, 1) ** 2
        return mean + variances / (variances + noise) * (state - mean)

    # Only the last state is kept, to save memory.
    (end,) = deque(sampler.steps(denoise, y, nodes, probe), maxlen=1)
    return end, probe.asked


def gaussian_answer(sampler: Sampler, nodes: Nodes, variances: Tensor) -> GaussianAnswer:
    """Return a sampler's affine map on Gaussian data of mean 0 with the exact denoiser.

    The map is found from the answers to a start and to each draw by itself: the sampler runs on
    starts at sigma_T and on unit draws, with `D = v/(v + sigma^2) y`.

    Args:
        sampler: the sampler, run as it is, in float64.
        nodes: the grid points.
        variances: v, (d,), float64.
    Raises:
        ValueError: if the sampler is not affine (norms=batch), or asks for noise though it says
            that it is deterministic.
    """
    if isinstance(sampler, PredictorCorrector) and sampler.norms == "batch":
        raise ValueError(
            "the law of predictor_corrector with sampler.norms=batch is not known, for its steps "
            "depend on the batch; choose sampler.norms=expected"
        )
    dim, sigma, name = len(variances), nodes.sigma[0], type(sampler).__name__
    # These have the size of a true start, to which an adaptive solver fits its steps.
    starts = sigma * torch.tensor([[1.0], [2.0]], dtype=torch.float64).expand(2, dim)
    (one, two), count = _run(sampler, nodes, variances, starts, 0.0, range(0))
    if count and sampler.is_deterministic:
        raise ValueError(f"{name} asks for noise: its is_deterministic must be False")
    is_affine = torch.allclose(two, 2 * one, rtol=1e-9, atol=1e-200)
    if not (sampler.adaptive or is_affine) and bool(two.isfinite().all()):
        raise ValueError(
            f"the law of {name} is known only if it is affine on Gaussian data, but twice the "
            "start does not give twice the sample"
        )
    variance = torch.zeros(dim, dtype=torch.float64)
    rows = max(1, _RUN_NUMBERS // dim)
    for first in range(0, count, rows):
        draws = range(first, min(first + rows, count))
        start = torch.zeros(len(draws), dim, dtype=torch.float64)
        variance += _run(sampler, nodes, variances, start, 0.0, draws)[0].square().sum(dim=0)
    return GaussianAnswer(one / sigma, variance)


def mean_answer(sampler: Sampler, nodes: Nodes, variances: Tensor) -> Tensor:
    """Return the share of the data's mean that the sampler keeps, (d,), if the start has all."""
    start = torch.ones(1, len(variances), dtype=torch.float64)
    return _run(sampler, nodes, variances, start, 1.0, range(0))[0][0]


def sampled_std(sampler: Sampler, sigmas: Tensor, variances: Tensor) -> Tensor:
    """Return the samples' standard deviation, (d,), from the exact marginal of N(0, v) at sigma_T.

    Args:
        sampler: a sampler whose law is known; see `gaussian_answer` for this and the errors.
        sigmas: the grid points, (N + 1,), the last 0.
        variances: v of the data, (d,), float64.
    """
    answer = gaussian_answer(sampler, Nodes(sampler.sde, sigmas), variances)
    return (answer.gain.square() * (variances + sigmas[0] ** 2) + answer.variance).sqrt()
