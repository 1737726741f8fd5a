"""The generator of a one-dimensional diffusion on cells, and steps with it."""

import math
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve_banded
from scipy.sparse import csr_array, diags_array
from scipy.special import exprel
from torch import Tensor

from fokker.diffusion.analysis.processes import Process

#: Order in time: 2 or 1.
Order = Literal[1, 2]

Array = NDArray[np.float64]


@final
@dataclass(frozen=True)
class Cells:
    """`count` cells of equal width on [low, high].

    Nothing passes through the walls: choose them so wide that almost no mass reaches them.

    Raises:
        ValueError: if not low < high, one is not finite, or there are fewer than 2 cells.
    """

    low: float
    high: float
    count: int

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"low must be below high={self.high:g}, finite, got {self.low:g}")
        if self.count < 2:
            raise ValueError(f"count must be at least 2, got {self.count}")

    @property
    def width(self) -> float:
        """Return dx."""
        return (self.high - self.low) / self.count

    @property
    def faces(self) -> Tensor:
        """Return the faces between cells, with the walls at the ends, (m + 1,)."""
        return torch.linspace(self.low, self.high, self.count + 1, dtype=torch.float64)

    @property
    def centres(self) -> Tensor:
        """Return the centres of the cells, (m,)."""
        faces = self.faces
        return (faces[1:] + faces[:-1]) / 2


@final
@dataclass(frozen=True)
class JumpRates:
    """Rates of jumps between neighbours through the m - 1 inner faces, per unit time.

    `up[i]` leads from cell i to i + 1, and `down[i]` back. They define a Markov chain on the cells:
    L has them next to its diagonal, and its rows sum to 0.
    """

    up: Array
    down: Array

    def implicit(self, step: float, values: Array, backward: bool) -> Array:
        """Return `(1 - step A)^{-1} values` with A = L^T or, backward, L; values (m,) or (m, k).

        The matrix has a positive diagonal, which exceeds its negative neighbours by 1. So the
        elimination adds positive numbers only, and no positive value becomes negative.
        """
        above, below = (self.up, self.down) if backward else (self.down, self.up)
        bands = np.zeros((3, len(self.up) + 1))
        bands[0, 1:] = -step * above
        bands[1] = 1.0
        bands[1, :-1] += step * self.up
        bands[1, 1:] += step * self.down
        bands[2, :-1] = -step * below
        result: Array = solve_banded((1, 1), bands, values)
        return result

    def advance(self, step: float, values: Array, order: Order, backward: bool = False) -> Array:
        """Return `R(step A) values` or, backward, `R(step L) values`: exact adjoints of each other.

        Order 1: implicit Euler, `R(z) = 1/(1 - z)`, which never makes a density negative.

        Order 2: `R(z) = (1 + (1 - 2a) z)/(1 - a z)^2`, a = 1 - 1/sqrt(2), that of TR-BDF2 (Bank et
        al. 1985) and of Alexander's SDIRK (1977). As R(-inf) = 0, unlike Crank-Nicolson's -1,
        edges and spikes do not ring and need no start by implicit Euler. No linear method above
        order 1 is positive for all steps (Bolley & Crouzeix 1978): this one can give negative
        values where a step is long, around spikes narrower than a third of `sqrt(step g^2)` and
        under a strong drift. Shorter steps cure it.
        """
        if order == 1:
            return self.implicit(step, values, backward)
        part = (1 - math.sqrt(0.5)) * step
        root = math.sqrt(2.0)
        # In powers of M = 1/(1 - a z), R takes two solves, and no product with a large z.
        first = self.implicit(part, values, backward)
        return self.implicit(part, (1 + root) * first - root * values, backward)


def jump_rates(process: Process, cells: Cells, t: float) -> JumpRates:
    """Return Scharfetter-Gummel's fluxes at time t as jump rates.

    Between neighbours with densities p and q the flux is `g^2/(2 dx) (B(-w) p - B(w) q)`, `B(w) =
    w/(e^w - 1)`, `w = 2 b dx / g^2`, b the drift at the face: exact for constant b and flux
    (Scharfetter & Gummel 1969; the weights of Chang & Cooper 1970). Rates are never negative, and
    without flux `q = e^w p`, so that the stationary density of a linear drift is exact on the
    cells. The order in dx is 2. Where g = 0 the limit is upwind, of order 1.

    Raises:
        ValueError: if b is not finite or of another shape, or g^2 negative or not finite.
    """
    x = cells.faces[1:-1]
    drift = torch.as_tensor(process.drift(x, t)).detach().to(torch.float64)
    if drift.shape != x.shape:
        raise ValueError(
            f"drift must return one number for each x, {tuple(x.shape)}, got {tuple(drift.shape)}"
        )
    if not bool(drift.isfinite().all()):
        where = x[~drift.isfinite()][0]
        raise ValueError(f"drift must be finite on the cells, is not at x={where:g}, t={t:g}")
    g2 = float(process.squared_diffusion(t))
    if not 0 <= g2 < math.inf:
        raise ValueError(
            f"squared_diffusion must be finite and not negative, got {g2:g} at t={t:g}"
        )
    b: Array = drift.numpy()
    if g2 == 0:
        return JumpRates(np.maximum(b, 0) / cells.width, np.maximum(-b, 0) / cells.width)
    w = 2 * b * cells.width / g2
    rate = g2 / (2 * cells.width**2)
    return JumpRates(rate / exprel(-w), rate / exprel(w))


def generator(process: Process, cells: Cells, t: float) -> csr_array:
    """Return L(t) on the cells, sparse, (m, m).

    `L u` stands for `b d_x u + g^2/2 d_xx u` and `A p = L^T p` for `-d_x(b p) + g^2/2 d_xx p`: on
    equal cells the adjoint is the transpose, `sum_i u_i (A p)_i dx = sum_i (L u)_i p_i dx`
    (Pavliotis 2014, chapter 2).

    Raises:
        ValueError: see `jump_rates`.
    """
    rates = jump_rates(process, cells, t)
    diagonal = np.zeros(cells.count)
    diagonal[:-1] -= rates.up
    diagonal[1:] -= rates.down
    return csr_array(diags_array([rates.down, diagonal, rates.up], offsets=[-1, 0, 1]))
