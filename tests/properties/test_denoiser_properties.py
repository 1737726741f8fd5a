"""D, eps, score and v at any noise level and scale of the data, and what makes D of a network."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from valid_parts import HIGHEST, LOWEST, NOT_NUMBERS, check_named, examples, powers

from fokker.diffusion.denoiser import (
    Denoiser,
    denoised_from_eps,
    denoised_from_score,
    denoised_from_v,
    eps_from_denoised,
    score_from_denoised,
    v_from_denoised,
)
from fokker.diffusion.preconditioning import EDM, IDDPM, VE, VP, X0, Preconditioning, V
from fokker.diffusion.weighting import EDM as EDMWeighting
from fokker.diffusion.weighting import P2, Eps, MinSNR, SoftMinSNR, Weighting
from fokker.diffusion.weighting import X0 as X0Weighting
from fokker.diffusion.weighting import V as VWeighting

sigmas = powers(LOWEST, HIGHEST)
scales = powers(1e-6, 1e6)
numbers = st.floats(-4, 4)


def noised(x0: float, n: float, sigma: float, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """x, x0 and sigma of two samples, the second of which says that rows have their own."""
    clean = torch.tensor([[scale * x0, -scale], [0.3 * scale, scale * n]], dtype=torch.float64)
    level = torch.tensor([sigma, 2 * sigma], dtype=torch.float64)
    noise = torch.tensor([[n, 1.0], [x0, -0.4]], dtype=torch.float64)
    return clean + level[:, None] * noise, clean, level


@given(numbers, numbers, sigmas, scales)
@examples(50)
def test_what_papers_predict_goes_there_and_back(
    x0: float, n: float, sigma: float, scale: float
) -> None:
    x, clean, level = noised(x0, n, sigma, scale)
    # The largest of the terms that a conversion adds.
    size = float(x.abs().max() + clean.abs().max())
    for there, back in (
        (eps_from_denoised, denoised_from_eps),
        (score_from_denoised, denoised_from_score),
        (v_from_denoised, denoised_from_v),
    ):
        again = back(x, there(x, clean, level), level)
        torch.testing.assert_close(again, clean, rtol=0, atol=1e-13 * size)


@given(numbers, numbers, sigmas, scales)
@examples(30)
def test_the_three_are_one_line(x0: float, n: float, sigma: float, scale: float) -> None:
    """score = -eps/sigma; v turns (x0, eps) by the angle whose tangent is sigma."""
    x, clean, level = noised(x0, n, sigma, scale)
    wide = level[:, None]
    eps = eps_from_denoised(x, clean, level)
    close = {"rtol": 1e-12, "atol": 1e-280}
    torch.testing.assert_close(score_from_denoised(x, clean, level), -eps / wide, **close)
    angle = torch.atan(wide)
    v = torch.cos(angle) * eps - torch.sin(angle) * clean
    # The cosine of an angle near pi/2 is known to a rounding of 1, not of itself.
    size = (torch.cos(angle) * eps).abs() + (torch.sin(angle) * clean).abs() + 1e-3 * eps.abs()
    assert ((v_from_denoised(x, clean, level) - v).abs() <= 1e-12 * size).all()


@st.composite
def preconditionings(draw: st.DrawFn) -> Preconditioning:
    kind = draw(st.sampled_from([VP, VE, V, EDM, X0, IDDPM]))
    if kind in (EDM, X0):
        return kind(draw(scales))
    return kind(draw(st.sampled_from([2, 50, 1000]))) if kind is IDDPM else kind()


class Target(nn.Module):
    """The network that is never wrong: F = (x0 - c_skip x) / c_out."""

    def __init__(self, target: Tensor) -> None:
        super().__init__()
        self.target = target

    def forward(self, x: Tensor, c_noise: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.target


@given(preconditionings(), numbers, numbers, sigmas, scales)
@examples(50)
def test_a_network_s_target_gives_the_data(
    preconditioning: Preconditioning, x0: float, n: float, sigma: float, scale: float
) -> None:
    x, clean, level = noised(x0, n, sigma, scale)
    c = preconditioning.coefficients(level)
    assert all(torch.isfinite(part).all() for part in c)
    assert (c.c_in > 0).all()
    assert (c.c_out != 0).all()
    target = (clean - c.c_skip[:, None] * x) / c.c_out[:, None]
    denoised = Denoiser(Target(target), preconditioning)(x, level)
    size = float(x.abs().max() + clean.abs().max())
    torch.testing.assert_close(denoised, clean, rtol=0, atol=1e-13 * size)


@given(sigmas, scales)
@examples(50)
def test_input_and_target_of_edm_have_variance_one_at_any_scale(sigma: float, sd: float) -> None:
    level = torch.tensor([sigma], dtype=torch.float64)
    c_skip, c_out, c_in, _ = (float(part) for part in EDM(sd).coefficients(level))
    assert c_in**2 * (sigma**2 + sd**2) == pytest.approx(1, rel=1e-12)
    # Var(x0 - c_skip x); 1 - c_skip cancels where the noise is small beside the data.
    rest = sigma**2 / (sigma**2 + sd**2)
    assert (rest * sd) ** 2 + (c_skip * sigma) ** 2 == pytest.approx(c_out**2, rel=1e-12)
    # And this c_skip needs the least of the network: any other has a larger target.
    for other in (0.99 * c_skip, 1.01 * c_skip):
        assert ((1 - other) * sd) ** 2 + (other * sigma) ** 2 >= c_out**2 * (1 - 1e-9)


@given(sigmas, scales)
@examples(50)
def test_weightings_are_the_plain_error_of_their_prediction(sigma: float, sd: float) -> None:
    """lambda |D - x0|^2 = |F - target|^2, so lambda c_out^2 = 1."""
    level = torch.tensor([sigma], dtype=torch.float64)
    pairs: list[tuple[Weighting, Preconditioning]] = [
        (EDMWeighting(sd), EDM(sd)), (Eps(), VP()), (VWeighting(), V()), (X0Weighting(), X0(sd)),
    ]  # fmt: skip
    for weighting, preconditioning in pairs:
        c_out = preconditioning.coefficients(level).c_out
        weight = weighting(level, None)  # type: ignore[arg-type]
        assert float(weight * c_out**2) == pytest.approx(1, rel=1e-12)


# Refusals -----------------------------------------------------------------------------------------


@given(st.sampled_from([*NOT_NUMBERS, 0.0, -1.0, 1e-200, 1e200]))
@examples(10)
def test_a_scale_that_no_data_have_is_refused(value: float) -> None:
    for kind in (EDM, X0, EDMWeighting, SoftMinSNR):
        with pytest.raises(ValueError) as caught:
            kind(value)
        check_named(caught.value, ["sigma_data"])


@given(st.sampled_from(["gamma", "k"]), st.sampled_from([*NOT_NUMBERS, -1.0, -1e9]))
@examples(10)
def test_weightings_refuse_what_gives_no_weight(key: str, value: float) -> None:
    for kind in (P2, MinSNR) if key == "gamma" else (P2,):
        if kind is MinSNR and value == math.inf:  # No cap.
            continue
        with pytest.raises(ValueError) as caught:
            kind(**{key: value})
        check_named(caught.value, [f"weighting.{key}"])


@given(st.integers(-3, 1))
@examples(10)
def test_a_chain_of_one_level_is_refused(num_levels: int) -> None:
    with pytest.raises(ValueError) as caught:
        IDDPM(num_levels)
    check_named(caught.value, ["preconditioning.num_levels"])
