"""The parts of a formulation with Gaussian noise that the analyses read."""

from typing import Protocol

import torch
from torch import Tensor

from fokker.data import StandardizedData
from fokker.diffusion.denoiser import Denoiser, ExactDenoiser
from fokker.diffusion.noise_levels import NoiseLevels
from fokker.diffusion.samplers import StartLaw
from fokker.diffusion.weighting import Weighting


class Model(Protocol):
    """A denoiser and the parts of its training, as in `fokker.diffusion.formulations.Diffusion`."""

    data: StandardizedData
    denoiser: Denoiser | ExactDenoiser
    weighting: Weighting
    noise_levels: NoiseLevels

    @property
    def device(self) -> torch.device:
        """Return the device on which it computes."""

    @property
    def start_law(self) -> StartLaw:
        """Return mean and variance of each element of the data, in the model's units."""

    @property
    def is_exact(self) -> bool:
        """Tell whether the denoiser is the data's ideal one, which is not trained."""

    @property
    def usual_range(self) -> tuple[float, float]:
        """Return the lowest and highest noise level at which the denoiser is good for use."""

    def denoising_error(self, x0: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
        """Return `|D(x0 + sigma n; sigma) - x0|^2 / d` of each sample, (n,)."""

    def loss(self, x0: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
        """Return `lambda(sigma)` times the denoising error, of each sample, (n,)."""
