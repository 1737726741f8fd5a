"""The inversion of distribution functions: exact where flat, and few evaluations."""

import pytest
import torch
from known_laws import assert_close
from torch import Tensor

from fokker.distributions import GaussianMixture
from fokker.distributions.inversion import invert


class Logistic:
    """`F(x; s) = 1 / (1 + exp(-(x - 3)/s))`, whose quantile is `3 + s ln(u / (1 - u))`."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def tails(self, x: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        assert x.shape == scale.shape
        self.sizes.append(len(x))
        z = (x - 3) / scale
        return z.sigmoid(), (-z).sigmoid()

    def density(self, x: Tensor, scale: Tensor) -> Tensor:
        below, above = self.tails(x, scale)
        return below * above / scale


def test_against_a_closed_form_in_few_steps() -> None:
    logistic = Logistic()
    generator = torch.Generator().manual_seed(0)
    u = torch.cat(
        (
            torch.rand(5_000, generator=generator, dtype=torch.float64),
            torch.tensor([1e-300, 1e-40, 1e-9, 0.5, 1 - 1e-9], dtype=torch.float64),
        )
    )
    scale = 10 ** (4 * torch.rand(len(u), generator=generator, dtype=torch.float64) - 3)
    x = invert(u, scale, logistic.tails, logistic.density, -8e3, 8e3)
    exact = 3 + scale * (u.log() - (1 - u).log())
    # 1 - u and the bracket of 16,000 are rounded.
    assert_close(x, exact, 1e-10)
    assert len(logistic.sizes) < 2 * 60
    assert sum(logistic.sizes) < 2 * 25 * len(u)
    assert logistic.sizes[-1] < len(u) / 10


def test_the_ends() -> None:
    logistic = Logistic()
    u = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    scale = torch.ones(3, dtype=torch.float64)
    x = invert(u, scale, logistic.tails, logistic.density, -50.0, 50.0)
    assert x.tolist() == [-torch.inf, pytest.approx(3.0), torch.inf]
    assert invert(u[:0], scale[:0], logistic.tails, logistic.density, -50.0, 50.0).shape == (0,)


@pytest.mark.parametrize("sigma", [0.0, 0.3, 80.0])
def test_modes_far_apart(sigma: float) -> None:
    # Between the modes F is flat to all digits; both tails are followed to the end.
    law = GaussianMixture([0.5, 0.5], [-1000.0, 1000.0], [0.001, 0.01])
    small = 10 ** torch.linspace(-250, -0.31, 270, dtype=torch.float64)
    for u in (small, 1 - small[small > 1e-14]):
        x = law.quantile(u, sigma)
        found = law.cdf(x[:, None], sigma)
        unit = torch.where(u < 0.5, 1e-11 * u, 1e-15)
        # A quantile near 1000 is rounded by 1e-13, of a mode that is 0.001 wide.
        rounding = 3e-16 * 1000 * law.log_prob(x[:, None], sigma).exp()
        assert ((found - u).abs() <= unit + rounding).all()
        assert (x.diff() * (u[1] - u[0]).sign() >= 0).all()
