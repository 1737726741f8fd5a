"""The denoiser around a network, and the conversions between its outputs."""

import pytest
import torch
from torch import Tensor, nn

from fokker.diffusion.denoiser import (
    Denoiser,
    denoised_from_eps,
    denoised_from_score,
    denoised_from_v,
    eps_from_denoised,
    per_sample,
    score_from_denoised,
    v_from_denoised,
)
from fokker.diffusion.preconditioning import EDM, VP, Preconditioning, V


class Recorder(nn.Module):
    """Returns 0.3 x + c_noise and keeps what it was given."""

    def forward(self, x: Tensor, c_noise: Tensor, condition: Tensor | None = None) -> Tensor:
        self.x, self.c_noise, self.condition = x, c_noise, condition
        return 0.3 * x + c_noise.reshape(-1, *[1] * (x.dim() - 1))


def batch(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = 0.7 + 3 * torch.randn((5, *shape), generator=generator, dtype=dtype)
    return x, torch.tensor([0.002, 0.3, 1.0, 7.0, 80.0], dtype=torch.float64)


@pytest.mark.parametrize("shape", [(1,), (6,), (2, 3, 4)])
@pytest.mark.parametrize("precondition", [VP(), EDM(0.35), V()])
def test_every_sample_gets_its_own_coefficients(
    shape: tuple[int, ...], precondition: Preconditioning
) -> None:
    denoiser, (x, sigma) = Denoiser(Recorder(), precondition), batch(shape)
    together = denoiser(x, sigma)
    assert together.shape == x.shape
    for i, level in enumerate(sigma.tolist()):
        c_skip, c_out, c_in, c_noise = map(
            float, precondition.coefficients(torch.tensor(level, dtype=torch.float64))
        )
        expected = c_skip * x[i] + c_out * (0.3 * c_in * x[i] + c_noise)
        torch.testing.assert_close(together[i], expected)
        # The same by a scalar sigma, as a number and as a tensor.
        for value in (level, torch.tensor(level), torch.tensor(level, dtype=torch.float64)):
            alone = denoiser(x[i : i + 1], value)
            torch.testing.assert_close(alone[0], expected, rtol=1e-6, atol=1e-6)


def test_the_network_gets_one_c_noise_a_sample_in_the_dtype_of_x() -> None:
    network = Recorder()
    denoiser, (x, sigma) = Denoiser(network, EDM()), batch((2,), torch.float32)
    for value in (sigma, sigma[1]):
        result = denoiser(x, value)
        assert network.c_noise.shape == (5,)
        assert network.c_noise.dtype == network.x.dtype == result.dtype == torch.float32
    assert network.condition is None
    labels = torch.arange(5)
    denoiser(x, sigma, labels)
    assert network.condition is labels


def test_evaluations_count_rows() -> None:
    denoiser, (x, sigma) = Denoiser(Recorder(), VP()), batch((2,))
    denoiser(x, sigma)
    denoiser(x[:2], sigma[:2])
    assert denoiser.evaluations == 7


def test_a_network_says_how_often_it_runs_in_a_call() -> None:
    network = Recorder()
    network.evaluations = 3  # type: ignore[assignment]
    denoiser, (x, sigma) = Denoiser(network, VP()), batch((2,))
    denoiser(x, sigma)
    assert denoiser.evaluations == 15
    # Guidance may be switched off.
    network.evaluations = 1  # type: ignore[assignment]
    denoiser(x[:2], sigma[:2])
    assert denoiser.evaluations == 17


@pytest.mark.parametrize("wrong", [0, -1, 2.0, True, "2", None])
def test_how_often_a_network_runs_is_a_whole_number(wrong: object) -> None:
    network = Recorder()
    network.evaluations = wrong  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"Recorder\.evaluations must be a whole number") as error:
        Denoiser(network, VP())
    assert repr(wrong) in str(error.value)


class Weighted(nn.Module):
    """A layer of x and of the condition, times c_noise; keeps how many rows it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.rows = nn.Linear(2, 2), list[int]()

    def forward(self, x: Tensor, c_noise: Tensor, condition: Tensor | None = None) -> Tensor:
        self.rows.append(len(x))
        total = self.layer(x) + (0 if condition is None else condition[:, None])
        return c_noise[:, None] * total  # type: ignore[no-any-return]


@pytest.mark.parametrize("is_one_level", [True, False])
@pytest.mark.parametrize("has_condition", [True, False])
def test_many_rows_go_through_a_network_in_parts(is_one_level: bool, has_condition: bool) -> None:
    """Where nothing is differentiated; the values are those of all rows at once."""
    network = Weighted()
    denoiser, generator = Denoiser(network, EDM(0.35)), torch.Generator().manual_seed(0)
    x = 0.7 + 3 * torch.randn(2500, 2, generator=generator)
    sigma = torch.rand(2500, generator=generator, dtype=torch.float64) + 0.1
    condition = torch.arange(2500.0) if has_condition else None
    sigma = sigma[3] if is_one_level else sigma
    whole = denoiser(x, sigma, condition)
    with torch.no_grad():
        parts = denoiser(x, sigma, condition)
    assert network.rows == [2500, 1024, 1024, 452]
    assert denoiser.evaluations == 5000
    torch.testing.assert_close(parts, whole.detach(), rtol=1e-6, atol=1e-4)


def test_small_noise_keeps_float32_data() -> None:
    """c_skip and c_out come from double precision: at sigma = 1e-4 D is x to float32 rounding."""
    denoiser = Denoiser(Recorder(), EDM())
    x = torch.linspace(-1, 1, 5)[:, None]
    torch.testing.assert_close(denoiser(x, torch.tensor(1e-4)), x, rtol=0, atol=1e-3)


@pytest.mark.parametrize("shape", [(1,), (2, 3)])
def test_conversions_of_the_exact_data(shape: tuple[int, ...]) -> None:
    n, sigma = batch(shape)
    x0 = n.flip(0) / 5 + 0.2
    x = x0 + per_sample(sigma, n) * n
    wide = per_sample(sigma, n)
    close = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(eps_from_denoised(x, x0, sigma), n, **close)
    torch.testing.assert_close(denoised_from_eps(x, n, sigma), x0, **close)
    torch.testing.assert_close(denoised_from_score(x, -n / wide, sigma), x0, **close)
    torch.testing.assert_close(score_from_denoised(x, x0, sigma), -n / wide, rtol=1e-9, atol=1e-6)
    # With x_t = alpha x0 + std n on the unit circle, v = alpha n - std x0.
    alpha, std = torch.cos(torch.atan(wide)), torch.sin(torch.atan(wide))
    torch.testing.assert_close(v_from_denoised(x, x0, sigma), alpha * n - std * x0, **close)
    torch.testing.assert_close(denoised_from_v(x, alpha * n - std * x0, sigma), x0, **close)


def test_score_is_the_gradient_of_the_smoothed_density() -> None:
    mean, variance = 0.7, 0.35**2
    for sigma in torch.tensor([0.02, 0.5, 9.0], dtype=torch.float64):
        x = torch.linspace(-2, 3, 11, dtype=torch.float64, requires_grad=True)
        total = variance + sigma**2
        law = torch.distributions.Normal(torch.full_like(total, mean), total.sqrt())
        (gradient,) = torch.autograd.grad(law.log_prob(x).sum(), x)
        denoised = mean + variance / total * (x - mean)
        score = score_from_denoised(x, denoised, sigma)
        torch.testing.assert_close(score, gradient, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_per_sample(shape: tuple[int, ...]) -> None:
    like = torch.zeros((4, *shape), dtype=torch.float32)
    column = per_sample(torch.arange(4, dtype=torch.float64), like)
    assert column.dtype == torch.float32
    assert (column * torch.ones_like(like)).flatten(1 if shape else 0).shape[0] == 4
    assert column.shape == (4, *[1] * len(shape))
    assert per_sample(torch.tensor(2.0), like).shape == ()
