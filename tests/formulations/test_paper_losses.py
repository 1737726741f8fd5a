"""The loss of each formulation is its paper's, written in the paper's letters on the same draws."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor

from fokker.data import ToyData
from fokker.diffusion import noise_levels, preconditioning, sde, weighting
from fokker.diffusion.formulations import DDPM, EDM, SMLD, VPSDE, Diffusion
from fokker.distributions import Gaussian
from fokker.networks import MLP

D = 3
BETA_MIN, BETA_MAX = 0.1, 20.0
SIGMA_DATA = 1.3
TOLERANCE = {"rtol": 1e-9, "atol": 1e-12}


def build(make: Callable[..., Diffusion], **parts: object) -> Diffusion:
    """A model in float64 with random weights everywhere, on data that are not standardised."""
    data = ToyData(
        partial(Gaussian, mean=[1.0, -2.0, 0.5], std=[0.3, 1.7, 0.8]),
        standardize=False,
        sigma_data=SIGMA_DATA,
    )
    model = make(
        data=data, network=partial(MLP, width=12, depth=2), seed=4, **parts
    )
    model.denoiser.double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.denoiser.parameters():
            weight.normal_(std=0.4, generator=generator)
    return model


def draws(model: Diffusion, count: int) -> tuple[Tensor, Tensor]:
    """x0 in the model's units and the noise of the paper, float64."""
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(count, D, generator=generator, dtype=torch.float64)
    return model.data.batch(0, count).x.double(), noise


def column(values: Tensor | np.ndarray) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float64)[:, None]


def squared_norm(vectors: Tensor) -> Tensor:
    return vectors.square().sum(1)


def vp_time(sigma: Tensor) -> Tensor:
    """The t of the linear VP SDE whose signal-to-noise ratio is 1/sigma^2, by a root finder."""

    def integral(t: float) -> float:
        return BETA_MIN * t + (BETA_MAX - BETA_MIN) * t * t / 2

    roots = [
        brentq(lambda t, s=s: integral(t) - math.log1p(s * s), 0.0, 2.0, xtol=1e-15, rtol=1e-15)
        for s in sigma.tolist()
    ]
    return torch.tensor(roots, dtype=torch.float64)


def test_ddpm() -> None:
    """Ho 2020, eq. 14: |eps - eps_theta(alpha_k x0 + std_k eps, k)|^2."""
    model = build(
        partial(DDPM, sde=sde.VPLinear(), num_levels=1000),
        preconditioning=preconditioning.VP(),
        weighting=weighting.Eps(),
        noise_levels=noise_levels.Levels(),
    )
    k = torch.tensor([1, 2, 17, 150, 500, 731, 999, 1000])
    x_0, eps = draws(model, len(k))
    beta = np.linspace(1e-4, 0.02, 1000)
    bar_alpha = np.cumprod(1 - beta)[k - 1]
    alpha_k, std_k = column(np.sqrt(bar_alpha)), column(np.sqrt(1 - bar_alpha))

    def eps_theta(x_k: Tensor, k: Tensor) -> Tensor:
        sigma_k = std_k / alpha_k
        output: Tensor = model.denoiser.network(x_k, 999 * vp_time(sigma_k.squeeze(1)))
        return output

    paper = squared_norm(eps - eps_theta(alpha_k * x_0 + std_k * eps, k))
    assert model.levels is not None
    loss = model.loss(x_0, model.levels[k - 1], eps)
    torch.testing.assert_close(loss, paper / D, **TOLERANCE)
    assert float(paper.detach().min()) > 0.1  # the network is not 0, nor right


@pytest.mark.parametrize("num_levels", [10, 100])
def test_smld(num_levels: int) -> None:
    """Song & Ermon 2019, eq. 5 and 6: sigma_i^2 1/2 |s_theta + (x~ - x)/sigma_i^2|^2."""
    model = build(
        partial(SMLD, num_levels=num_levels, sigma_min=0.02, sigma_max=40.0),
        preconditioning=preconditioning.VE(),
        weighting=weighting.SMLD(),
        noise_levels=noise_levels.Levels(),
    )
    i = torch.tensor([0, 1, 2, num_levels // 2, num_levels - 2, num_levels - 1])
    x, z = draws(model, len(i))
    sigma_i = column(np.geomspace(0.02, 40.0, num_levels)[i])
    x_tilde = x + sigma_i * z

    def s_theta(x_tilde: Tensor) -> Tensor:
        # NCSN divides what its network gives by the noise level.
        output: Tensor = model.denoiser.network(x_tilde, torch.log(sigma_i.squeeze(1) / 2))
        return output / sigma_i

    half = squared_norm(s_theta(x_tilde) + (x_tilde - x) / sigma_i**2) / 2
    paper = sigma_i.squeeze(1) ** 2 * half
    assert model.levels is not None
    loss = model.loss(x, model.levels[i], z)
    torch.testing.assert_close(loss, paper / D, **TOLERANCE)


@pytest.mark.parametrize("process", ["vp", "sub_vp"])
def test_score_sde(process: str) -> None:
    """Song 2021, eq. 7, as published: |std s_theta(x_t, t) + z|^2 in x_t's own coordinates."""
    model = build(
        VPSDE,
        preconditioning=preconditioning.VP(),
        weighting=weighting.Eps(),
        noise_levels=noise_levels.UniformTime(sde.VPLinear() if process == "vp" else sde.SubVP()),
    )
    t = torch.tensor([1e-4, 0.003, 0.1, 0.37, 0.8, 1.0], dtype=torch.float64)
    x_0, z = draws(model, len(t))
    # The marginals of eq. 29 and 33: mean exp(-B/2) x(0), std sqrt(1 - exp(-B)) or 1 - exp(-B).
    log_mean = -(t**2) * (BETA_MAX - BETA_MIN) / 4 - t * BETA_MIN / 2
    mean = column(torch.exp(log_mean))
    gap = -torch.expm1(2 * log_mean)
    std = column(gap.sqrt() if process == "vp" else gap)
    x_t = mean * x_0 + std * z
    sigma = std / mean

    def s_theta(x_t: Tensor) -> Tensor:
        # -F/std, F fed what has unit variance for data of variance 1; on VP that is x_t itself.
        inside = x_t if process == "vp" else x_t / mean / (1 + sigma**2).sqrt()
        time = t if process == "vp" else vp_time(sigma.squeeze(1))
        return -model.denoiser.network(inside, 999 * time) / std

    paper = squared_norm(std * s_theta(x_t) + z)
    loss = model.loss(x_0, sigma.squeeze(1), z)
    torch.testing.assert_close(loss, paper / D, rtol=1e-8, atol=1e-12)


def test_edm() -> None:
    """Karras 2022, eq. 8: lambda c_out^2 |F(c_in (y + n); c_noise) - effective target|^2."""
    model = build(
        EDM,
        preconditioning=preconditioning.EDM(SIGMA_DATA),
        weighting=weighting.EDM(SIGMA_DATA),
        noise_levels=noise_levels.LogNormal(),
    )
    sigma = torch.tensor([0.002, 0.05, 0.3, 1.3, 9.0, 80.0], dtype=torch.float64)
    y, unit = draws(model, len(sigma))
    s, s_d = column(sigma), SIGMA_DATA
    n = s * unit
    c_skip = s_d**2 / (s**2 + s_d**2)
    c_out = s * s_d / (s**2 + s_d**2).sqrt()
    c_in = 1 / (s**2 + s_d**2).sqrt()
    effective_target = (y - c_skip * (y + n)) / c_out
    F = model.denoiser.network(c_in * (y + n), torch.log(sigma) / 4)
    lambda_ = ((s**2 + s_d**2) / (s * s_d) ** 2).squeeze(1)
    paper = lambda_ * c_out.squeeze(1) ** 2 * squared_norm(F - effective_target)
    loss = model.loss(y, sigma, unit)
    torch.testing.assert_close(loss, paper / D, rtol=1e-7, atol=1e-12)
    # As the paper chooses lambda, the two factors cancel.
    torch.testing.assert_close(loss, squared_norm(F - effective_target) / D, rtol=1e-7, atol=0)


def test_the_denoising_error_is_the_mean_over_the_elements() -> None:
    model = build(
        EDM,
        preconditioning=preconditioning.X0(SIGMA_DATA),
        weighting=weighting.X0(),
        noise_levels=noise_levels.LogNormal(),
    )
    sigma = torch.tensor([0.1, 1.0, 30.0], dtype=torch.float64)
    x_0, n = draws(model, 3)
    denoised = model.denoiser(x_0 + column(sigma) * n, sigma)
    expected = torch.stack([((denoised[i] - x_0[i]) ** 2).sum() / D for i in range(3)])
    torch.testing.assert_close(model.denoising_error(x_0, sigma, n), expected, **TOLERANCE)
    torch.testing.assert_close(model.loss(x_0, sigma, n), expected, **TOLERANCE)


def test_an_image_s_loss_is_that_of_its_pixels_in_a_row() -> None:
    """The same numbers as (n, 1, 1, 3) and as (n, 3) have the same loss."""
    model = build(
        EDM,
        preconditioning=preconditioning.EDM(SIGMA_DATA),
        weighting=weighting.EDM(SIGMA_DATA),
        noise_levels=noise_levels.LogNormal(),
    )
    sigma = torch.tensor([0.1, 1.0, 30.0], dtype=torch.float64)
    x_0, n = draws(model, 3)
    images = model.loss(x_0.reshape(3, 1, 1, 3), sigma, n.reshape(3, 1, 1, 3))
    torch.testing.assert_close(images, model.loss(x_0, sigma, n), rtol=0, atol=0)
