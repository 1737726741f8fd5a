"""The Fokker-Planck and the backward Kolmogorov equation in one dimension, solved on cells."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from fokker.diffusion.analysis.generator import Array, Cells, JumpRates, Order, jump_rates
from fokker.diffusion.analysis.processes import Process
from fokker.diffusion.denoiser import DenoiserFunction
from fokker.diffusion.sde import SDE
from fokker.distributions import Distribution
from fokker.distributions.arguments import as_points, as_sigma

#: The largest part of a density's mass that may be missing on the cells.
MISSING_MASS = 1e-6


@final
@dataclass(frozen=True)
class Solution:
    """Densities on cells.

    Attributes:
        times: the times, (k,), in the order in which they were solved.
        cells: the m cells; `cells.centres` are their x.
        densities: the averages of the densities over the cells, (k, m).
    """

    times: Tensor
    cells: Cells
    densities: Tensor

    def masses(self) -> Tensor:
        """Return the integral of each density, (k,)."""
        return self.densities.sum(dim=1) * self.cells.width

    def cdf(self) -> Tensor:
        """Return `P(x_t <= face)` at the faces, (k, m + 1)."""
        mass = self.densities.cumsum(dim=1) * self.cells.width
        return torch.cat([torch.zeros_like(mass[:, :1]), mass], dim=1)

    def w1(self, densities: Tensor) -> Tensor:
        """Return `W_1 = int |F - G| dx` to other densities on the same cells, (k,).

        Args:
            densities: the others, (k, m) or (m,). The integral is by the trapezoidal rule.
        """
        gap = (self.densities - densities).cumsum(dim=1) * self.cells.width
        return gap.abs().sum(dim=1) * self.cells.width


def log_sigma_times(
    sde: SDE, num_steps: int, sigma_min: float | None = None, sigma_max: float | None = None
) -> Tensor:
    """Return increasing times of noise levels that are uniform in log sigma, (num_steps + 1,).

    Each step multiplies sigma by the same number, which suits all SDEs from data to noise;
    `.flip(0)` gives the times from noise to data.

    Args:
        sde: the SDE that gives t(sigma).
        num_steps: the number of steps.
        sigma_min, sigma_max: the ends; None: the SDE's sampling range.
    Raises:
        ValueError: if num_steps is below 1 or not 0 < sigma_min < sigma_max < inf.
    """
    low = sde.sigma_min if sigma_min is None else sigma_min
    high = sde.sigma_max if sigma_max is None else sigma_max
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    if not 0 < low < high < float("inf"):
        raise ValueError(f"sigma_min must be positive and below sigma_max={high:g}, got {low:g}")
    ends = torch.tensor([low, high], dtype=torch.float64).log()
    share = torch.linspace(0, 1, num_steps + 1, dtype=torch.float64)
    return sde.time(torch.lerp(ends[0], ends[1], share).exp())


def marginals(law: Distribution, sde: SDE, times: Tensor, cells: Cells) -> Tensor:
    """Return cell averages of the exact marginals `p_t(x) = s^-1 p(x/s; sigma)` of data, (k, m).

    They are differences of the law's cdf, so that sharp edges are averaged too.

    Args:
        law: the law of the data, in one dimension.
        sde: the SDE that gives s(t) and sigma(t).
        times: the times, (k,).
        cells: the cells, which must hold all but 1e-6 of each marginal.
    Raises:
        ValueError: if the cells are too narrow, or the law has more than one coordinate.
    """
    faces = cells.faces
    rows = []
    for t in times.tolist():
        cdf = law.cdf(faces / sde.scale(t), sde.sigma(t))
        missing = float(1 - cdf[-1] + cdf[0])
        if missing > MISSING_MASS:
            raise ValueError(
                f"cells must hold all but {MISSING_MASS:g} of each marginal, but at t={t:g} "
                f"{missing:.3g} of its mass lies outside [{cells.low:g}, {cells.high:g}]; "
                "widen them"
            )
        # Rounding in the cdf may make a difference negative, by about 1e-17.
        rows.append(cdf.diff().clamp(min=0) / cells.width)
    return torch.stack(rows)


def solve_forward(
    process: Process, cells: Cells, density: Tensor, times: Tensor, order: Order = 2
) -> Solution:
    """Solve the Fokker-Planck equation `d_t p = -d_x(b p) + g^2/2 d_xx p` at all the times.

    The method is finite volumes with `jump_rates` at the middle of each step and
    `JumpRates.advance` in time. It is of second order in dx and dt, and conserves mass to
    rounding, which a step magnifies by about `step g^2 / dx^2`. With order 1 no density is ever
    negative; with order 2, the default, it may be negative where steps are long, see `advance`.
    The walls reflect: where much mass would pass through them, the solution is not that on the
    line.

    For a `Reverse` process, from noise to data, the times fall and dt is the time that passes.
    Sources: Risken 1996; Song 2021 (2011.13456), eq. 6 and 13, for the reverse ones.

    Args:
        process: the process that gives b and g.
        cells: the m cells.
        density: the density at times[0], (m,), of mass 1; see `marginals`.
        times: the times, (k,), in any spacing; see `log_sigma_times`.
        order: the order in time.
    Raises:
        ValueError: if times do not run in the direction of the process, or the density is
            negative, has another shape, or does not have mass 1 on the cells.
    """
    p = _values("density", density, cells)
    if float(p.min()) < 0:
        raise ValueError(f"density must not be negative, got {float(p.min()):g}")
    mass = float(p.sum()) * cells.width
    if abs(mass - 1) > MISSING_MASS:
        raise ValueError(
            f"density must have mass 1 within {MISSING_MASS:g} on [{cells.low:g}, {cells.high:g}], "
            f"got {mass:.8g}: {1 - mass:.3g} of it lies outside; widen the cells, or divide it by "
            "its mass if they hold it"
        )
    rows = [p]
    for rates, step in _steps(process, cells, times, order):
        rows.append(rates.advance(step, rows[-1], order))
    return Solution(times, cells, torch.from_numpy(np.stack(rows)))


def solve_backward(
    process: Process, cells: Cells, value: Tensor, times: Tensor, order: Order = 2
) -> Tensor:
    """Solve the backward Kolmogorov equation `-d_t u = b d_x u + g^2/2 d_xx u` from the last time.

    `u(x, t) = E[value(x_T) | x_t = x]`, (k, m), row i at times[i]. Each step is the transpose of
    that of `solve_forward`, so that `sum_j u(x_j, t) p(x_j, t) dx` is the same at all the times to
    rounding (Pavliotis 2014, chapter 2; Risken 1996, chapter 4).

    Args:
        process: the process that gives b and g.
        cells: the m cells.
        value: the value at times[-1], (m,).
        times: the times, as for `solve_forward`.
        order: the order in time.
    Raises:
        ValueError: if times do not run in the direction of the process, or value has another shape.
    """
    rows = [_values("value", value, cells)]
    for rates, step in reversed(list(_steps(process, cells, times, order))):
        rows.append(rates.advance(step, rows[-1], order, backward=True))
    return torch.from_numpy(np.stack(rows[::-1]))


def transition_matrix(process: Process, cells: Cells, times: Tensor, order: Order = 2) -> Tensor:
    """Return the probabilities P[i, j] to go from cell i at times[0] to j at times[-1], (m, m).

    The matrix P(s, t) is a product over the steps, so that Chapman-Kolmogorov
    `P(s, u) = P(s, t) P(t, u)` holds to rounding if the steps are shared. `P[i] / dx` approximates
    the transition density from the centre of cell i. Rows sum to 1; with order 1 no entry is
    negative.

    Raises:
        ValueError: if times do not run in the direction of the process.
    """
    columns: Array = np.eye(cells.count)
    for rates, step in _steps(process, cells, times, order):
        columns = rates.advance(step, columns, order)
    return torch.from_numpy(columns.T.copy())


def fokker_planck_residual(denoise: DenoiserFunction, x: Tensor, sigma: float | Tensor) -> Tensor:
    """Return `sigma^3 [d_tau s - d_x(d_x s + s^2)]` of the score s = (D - x)/sigma^2, (n,).

    Densities p(x; sigma) solve the heat equation `d_tau p = d_xx p` in tau = sigma^2/2. For their
    scores this residual is 0 (Lai et al. 2023, 2210.04296, the score Fokker-Planck equation, in VE
    form). In D it reads `d_sigma D - sigma d_xx D + 2 (x - D)/sigma d_x D`, without cancellation
    and without units. It is 0 for the exact denoiser of any data: it tells whether the levels
    agree with each other, not whether they agree with these data.

    Args:
        denoise: D(x (n, 1), sigma (n,)), differentiable twice; called once, in float64.
        x: the points x0 + sigma n, (n, 1) or (n,).
        sigma: one noise level, or one for each point, (n,).
    Raises:
        ValueError: if x is not one-dimensional, sigma is not positive, or D has another shape.
    """
    x = as_points(x, 1).detach().clone().requires_grad_()
    sigma = as_sigma(sigma, len(x)).detach().clone().requires_grad_()
    with torch.enable_grad():
        denoised = denoise(x, sigma)
        if denoised.shape != x.shape:
            raise ValueError(
                f"denoise must return shape {tuple(x.shape)}, got {tuple(denoised.shape)}"
            )
        slope, rate = _derivatives(denoised, x, sigma)
        (curvature,) = _derivatives(slope, x)
    eps = (x - denoised)[:, 0] / sigma
    residual = rate - sigma * curvature[:, 0] + 2 * eps * slope[:, 0]
    return residual.detach()


def _derivatives(y: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Return d y_i / d input_i for y_i that depends on the i-th row only; 0 where it does not."""
    if not y.requires_grad:
        return tuple(torch.zeros_like(value) for value in inputs)
    return torch.autograd.grad(y.sum(), inputs, create_graph=True, materialize_grads=True)


def _values(name: str, values: Tensor, cells: Cells) -> Array:
    if values.shape != (cells.count,):
        raise ValueError(
            f"{name} must be one number a cell, ({cells.count},), got {tuple(values.shape)}"
        )
    if not bool(values.isfinite().all()):
        raise ValueError(f"{name} must be finite, got NaN or infinite values")
    array: Array = values.detach().to(torch.float64).numpy()
    return array


def _steps(
    process: Process, cells: Cells, times: Tensor, order: int
) -> Iterator[tuple[JumpRates, float]]:
    """Return the rates at the middle of each step, for second order, and the step's length."""
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, got {order}")
    if times.ndim != 1 or len(times) < 2 or not bool(times.isfinite().all()):
        raise ValueError(f"times must be at least 2 finite numbers, got {times.tolist()}")
    nodes = times.to(torch.float64)
    steps = -nodes.diff() if process.reversed else nodes.diff()
    if not bool((steps > 0).all()):
        i = int((steps <= 0).nonzero()[0])
        way = "fall, as the process runs from noise to data" if process.reversed else "increase"
        raise ValueError(f"times must {way}, got {nodes[i + 1]:g} after {nodes[i]:g}")
    middles = (nodes[1:] + nodes[:-1]) / 2
    # This is a generator expression, so that the checks come before any step.
    return (
        (jump_rates(process, cells, t), step) for t, step in zip(middles.tolist(), steps.tolist())
    )
