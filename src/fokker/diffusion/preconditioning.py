"""Preconditionings: how a network becomes a denoiser.

`D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)` (Karras 2022, eq. 7). A new one is a class
with `coefficients` and `c_noise_range`, and a file in conf/preconditioning.
"""

import math
from abc import ABC, abstractmethod
from typing import NamedTuple, final

import torch
from torch import Tensor

from fokker.diffusion.sde import iddpm_nodes
from fokker.diffusion.sde.vp_linear import LinearBeta
from fokker.distributions.noise_range import HIGHEST_NOISE, LOWEST_NOISE


class Coefficients(NamedTuple):
    """c_skip, c_out, c_in and c_noise, each in the shape of sigma, float64."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


class Preconditioning(ABC):
    """The four coefficients as functions of the noise level."""

    #: The values of c_noise that a network maps to [0, 1].
    c_noise_range: tuple[float, float]

    @abstractmethod
    def coefficients(self, sigma: Tensor) -> Coefficients:
        """Return the coefficients at sigma, any shape, float64."""


def check_sigma_data(sigma_data: float) -> float:
    """Return sigma_data, the data's standard deviation, if it is within the range of noise."""
    if not LOWEST_NOISE <= sigma_data <= HIGHEST_NOISE:
        raise ValueError(
            f"sigma_data must be positive, in {LOWEST_NOISE:g} to {HIGHEST_NOISE:g}, got "
            f"{sigma_data:g}; change data.sigma_data, or set data.standardize=true"
        )
    return float(sigma_data)


@final
class VP(Preconditioning):
    """The network predicts the noise (Karras 2022, table 1, column VP).

    `c_skip = 1, c_out = -sigma, c_in = 1/sqrt(sigma^2 + 1), c_noise = 999 t(sigma)`, with t the
    time of the linear VP SDE with beta_min = 0.1 and beta_max = 20, whatever SDE is sampled.
    """

    c_noise_range = (0.0, 999.0)

    def __init__(self) -> None:
        self._beta = LinearBeta(0.1, 20.0)

    def coefficients(self, sigma: Tensor) -> Coefficients:
        time = self._beta.time(torch.log1p(sigma**2))
        return Coefficients(torch.ones_like(sigma), -sigma, (sigma**2 + 1).rsqrt(), 999 * time)


@final
class VE(Preconditioning):
    """The network predicts sigma times the score (Karras 2022, table 1, column VE).

    `c_skip = 1, c_out = sigma, c_in = 1, c_noise = ln(sigma/2)`.
    """

    c_noise_range = (math.log(0.01), math.log(50.0))

    def coefficients(self, sigma: Tensor) -> Coefficients:
        one = torch.ones_like(sigma)
        return Coefficients(one, sigma, one, torch.log(sigma / 2))


@final
class IDDPM(Preconditioning):
    """The network predicts the noise, and is told a level's number (Karras 2022, table 1).

    It is `VP` with `c_noise = M - 1 - argmin_{j < M} |u_j - sigma|`, u_j the M levels of iDDPM.
    This is a step function of sigma, so that no solver keeps its order with it.

    Args:
        num_levels: M, the number of levels.
    """

    def __init__(self, num_levels: int = 1000) -> None:
        if num_levels < 2:
            raise ValueError(f"preconditioning.num_levels must be at least 2, got {num_levels}")
        self._ascending = iddpm_nodes(num_levels)[:-1].flip(0)
        self._midpoints = (self._ascending[1:] + self._ascending[:-1]) / 2
        self.c_noise_range = (0.0, float(num_levels - 1))

    def coefficients(self, sigma: Tensor) -> Coefficients:
        midpoints = self._midpoints.to(sigma.device)
        level = torch.bucketize(sigma.contiguous(), midpoints).to(sigma.dtype)
        return Coefficients(torch.ones_like(sigma), -sigma, (sigma**2 + 1).rsqrt(), level)


@final
class EDM(Preconditioning):
    """Unit variance of the network's input and target at every sigma (Karras 2022, table 1).

    `c_skip = sd^2/(sigma^2 + sd^2)`, `c_out = sigma sd/sqrt(sigma^2 + sd^2)`,
    `c_in = 1/sqrt(sigma^2 + sd^2)`, `c_noise = ln(sigma)/4`, with sd = `sigma_data`.

    Args:
        sigma_data: standard deviation of the data in the model's units.
    Raises:
        ValueError: if sigma_data is not in [1e-8, 1e8].
    """

    c_noise_range = (-2.0, 2.0)

    def __init__(self, sigma_data: float = 0.5) -> None:
        self._sigma_data = check_sigma_data(sigma_data)

    def coefficients(self, sigma: Tensor) -> Coefficients:
        variance = sigma**2 + self._sigma_data**2
        root = variance.sqrt()
        return Coefficients(
            self._sigma_data**2 / variance,
            sigma * self._sigma_data / root,
            1 / root,
            torch.log(sigma) / 4,
        )


@final
class V(Preconditioning):
    """The network predicts v (Salimans 2022), for data counted as std 1.

    `c_skip = 1/(sigma^2 + 1)`, `c_out = -sigma/sqrt(sigma^2 + 1)`, `c_in = 1/sqrt(sigma^2 + 1)`,
    `c_noise = ln(sigma)/4`.
    """

    c_noise_range = (-2.0, 2.0)

    def coefficients(self, sigma: Tensor) -> Coefficients:
        inverse = (sigma**2 + 1).rsqrt()
        return Coefficients(inverse**2, -sigma * inverse, inverse, torch.log(sigma) / 4)


@final
class X0(Preconditioning):
    """The network predicts the clean data.

    `c_skip = 0, c_out = 1, c_in = 1/sqrt(sigma^2 + sd^2)`, `c_noise = ln(sigma)/4`.

    Args:
        sigma_data: standard deviation of the data in the model's units.
    Raises:
        ValueError: if sigma_data is not in [1e-8, 1e8].
    """

    c_noise_range = (-2.0, 2.0)

    def __init__(self, sigma_data: float = 0.5) -> None:
        self._sigma_data = check_sigma_data(sigma_data)

    def coefficients(self, sigma: Tensor) -> Coefficients:
        return Coefficients(
            torch.zeros_like(sigma),
            torch.ones_like(sigma),
            (sigma**2 + self._sigma_data**2).rsqrt(),
            torch.log(sigma) / 4,
        )
