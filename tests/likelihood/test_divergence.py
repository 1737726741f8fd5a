"""Three ways to tr dD/dy, against the Jacobian and against each other."""

import math

import pytest
import torch
from torch import Tensor

from fokker.diffusion.denoiser import Denoiser
from fokker.diffusion.likelihood import ExactDivergence, HutchinsonDivergence, LawDivergence
from fokker.diffusion.preconditioning import EDM
from fokker.distributions import Distribution, GaussianCovariance, GaussianMixture, Ring
from fokker.networks import MLP
from fokker.randomness import Randomness

MATRIX = torch.tensor(
    [[0.9, 0.7, -0.4], [-0.1, 0.3, 0.8], [0.5, 0.2, -0.6]], dtype=torch.float64
)


def linear(x: Tensor, sigma: Tensor) -> Tensor:
    return x @ MATRIX.T + 0.3


def network(shape: tuple[int, ...]) -> Denoiser:
    torch.manual_seed(3)
    denoiser = Denoiser(MLP(shape, (-2.0, 2.0), width=16, depth=1), EDM(0.5))
    torch.nn.init.normal_(denoiser.network.last.weight, std=0.3)  # type: ignore[union-attr,arg-type]
    return denoiser


def states(n: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 0.7 + 0.9 * torch.randn(n, *shape, generator=generator, dtype=torch.float64)


def test_exact_is_the_trace_of_the_jacobian() -> None:
    """Of a network, by autograd.functional.jacobian, for samples that are matrices."""
    denoiser = network((2, 3)).double()
    y, sigma = states(5, 2, 3), torch.tensor([0.1, 0.4, 1.0, 6.0, 30.0], dtype=torch.float64)
    value, trace = ExactDivergence(denoiser)(y, sigma, torch.arange(5))
    torch.testing.assert_close(value, denoiser(y, sigma).detach(), rtol=0, atol=1e-13)
    assert not value.requires_grad
    assert not trace.requires_grad
    for i in range(5):
        jacobian = torch.autograd.functional.jacobian(  # type: ignore[no-untyped-call]
            lambda state, i=i: denoiser(state[None], sigma[i : i + 1])[0], y[i]
        )
        assert float(trace[i]) == pytest.approx(float(jacobian.reshape(6, 6).trace()), abs=1e-12)


def test_exact_takes_outputs_of_any_memory_layout() -> None:
    def transposed(x: Tensor, sigma: Tensor) -> Tensor:
        return (x.transpose(1, 2).contiguous() * torch.arange(6.0).reshape(3, 2)).transpose(1, 2)

    _, trace = ExactDivergence(transposed)(states(4, 2, 3), torch.ones(4), torch.arange(4))
    torch.testing.assert_close(trace, torch.full((4,), 15.0, dtype=torch.float64))


@pytest.mark.parametrize(
    "law",
    [
        GaussianCovariance([0.7, -0.4], torch.tensor([[0.5, 0.2], [0.2, 0.3]])),
        GaussianMixture([0.3, 0.7], [-1.0, 1.5], [0.2, 0.4]),
        Ring(8, 1.3, 0.1),
    ],
)
def test_a_known_law_needs_no_autograd(law: Distribution) -> None:
    y = states(6, law.dim)
    sigma = torch.tensor([0.05, 0.2, 0.5, 1.0, 4.0, 20.0], dtype=torch.float64)
    rows = torch.arange(6)
    value, trace = LawDivergence(law)(y, sigma, rows)
    exact_value, exact_trace = ExactDivergence(law.denoise)(y, sigma, rows)
    torch.testing.assert_close(value, exact_value, rtol=0, atol=1e-12)
    torch.testing.assert_close(trace, exact_trace, rtol=1e-9, atol=1e-10)
    reshaped, _ = LawDivergence(law)(y.reshape(6, 1, law.dim), sigma, rows)
    assert torch.equal(reshaped, value.reshape(6, 1, law.dim))


@pytest.mark.parametrize("probes", [1, 3])
@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
def test_hutchinson_has_the_mean_and_variance_of_theory(kind: str, probes: int) -> None:
    count = 40_000
    hutchinson = HutchinsonDivergence(
        linear, Randomness(5), 0, count, (3,), probes, kind  # type: ignore[arg-type]
    )
    _, trace = hutchinson(torch.zeros(count, 3).double(), torch.ones(count), torch.arange(count))
    symmetric = (MATRIX + MATRIX.T) / 2
    variance = 2 * float((symmetric**2).sum())
    if kind == "rademacher":
        variance -= 2 * float((symmetric.diagonal() ** 2).sum())
    variance /= probes
    spread = math.sqrt(variance / count)
    assert float(trace.mean()) == pytest.approx(float(MATRIX.trace()), abs=4 * spread)
    assert float(trace.var()) == pytest.approx(variance, rel=0.06)


def test_one_rademacher_probe_is_exact_in_one_dimension() -> None:
    law = GaussianMixture([0.3, 0.7], [-1.0, 1.5], [0.2, 0.4])
    y, sigma = states(50, 1), torch.full((50,), 0.6, dtype=torch.float64)
    rows = torch.arange(50)
    for seed in range(3):
        one = HutchinsonDivergence(law.denoise, Randomness(seed), 0, 50, (1,))
        torch.testing.assert_close(
            one(y, sigma, rows)[1], LawDivergence(law)(y, sigma, rows)[1], rtol=1e-10, atol=1e-12
        )


def test_probes_belong_to_the_sample_and_its_seed() -> None:
    y, sigma, rows = states(9, 3), torch.ones(9), torch.arange(9)
    whole = HutchinsonDivergence(linear, Randomness(5), 0, 9, (3,), kind="gaussian")
    trace = whole(y, sigma, rows)[1]
    assert torch.equal(trace, whole(y, sigma, rows)[1])
    assert len(set(trace.tolist())) == 9
    some = torch.tensor([7, 2])
    torch.testing.assert_close(whole(y[some], sigma[some], some)[1], trace[some])
    later = HutchinsonDivergence(linear, Randomness(5), 4, 9, (3,), kind="gaussian")
    torch.testing.assert_close(later(y[4:], sigma[4:], rows[:5])[1], trace[4:])
    other = HutchinsonDivergence(linear, Randomness(6), 0, 9, (3,), kind="gaussian")
    assert not torch.allclose(other(y, sigma, rows)[1], trace)


def test_float32_weights_are_enough_and_evaluations_are_counted() -> None:
    single, double = network((2,)), network((2,)).double()
    y, sigma = states(7, 2), torch.full((7,), 0.8, dtype=torch.float64)
    value, trace = ExactDivergence(single)(y, sigma, torch.arange(7))
    exact_value, exact_trace = ExactDivergence(double)(y, sigma, torch.arange(7))
    assert value.dtype == trace.dtype == torch.float64
    torch.testing.assert_close(value, exact_value, rtol=0, atol=1e-5)
    torch.testing.assert_close(trace, exact_trace, rtol=0, atol=1e-5)
    assert single.evaluations == 7


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match="probes must be at least 1, got 0"):
        HutchinsonDivergence(linear, Randomness(0), 0, 4, (3,), probes=0)
    with pytest.raises(ValueError, match="rademacher or gaussian, got uniform"):
        HutchinsonDivergence(linear, Randomness(0), 0, 4, (3,), kind="uniform")  # type: ignore[arg-type]
