"""One-dimensional diffusions: an SDE, its reversals, Ornstein-Uhlenbeck, and any drift."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, final

import torch
from torch import Tensor

from fokker.diffusion.denoiser import DenoiserFunction, score_from_denoised
from fokker.diffusion.sde import SDE
from fokker.distributions import Gaussian
from fokker.distributions.arguments import as_positive

#: score(x, t) = d_x log p_t(x), x and result (n,), in x_t's scale.
Score = Callable[[Tensor, float], Tensor]


class Process(ABC):
    """`dx = b(x, t) |dt| + g(t) dw` on the line, |dt| the time that passes.

    A new process is one class with `drift` and `squared_diffusion`.
    """

    #: Whether t falls along the process, from noise to data.
    reversed: ClassVar[bool] = False

    @abstractmethod
    def drift(self, x: Tensor, t: float) -> Tensor:
        """Return b(x, t), x (n,) float64 to (n,)."""

    @abstractmethod
    def squared_diffusion(self, t: float) -> float:
        """Return g(t)^2, not negative."""


@final
class Diffusion(Process):
    """A process with any drift and diffusion.

    Args:
        drift: b(x, t), x (n,) to (n,).
        squared_diffusion: g(t)^2, or one number for all t.
    """

    def __init__(
        self,
        drift: Callable[[Tensor, float], Tensor],
        squared_diffusion: Callable[[float], float] | float,
    ) -> None:
        self._drift = drift
        self._squared_diffusion = squared_diffusion

    def drift(self, x: Tensor, t: float) -> Tensor:
        return self._drift(x, t)

    def squared_diffusion(self, t: float) -> float:
        g2 = self._squared_diffusion
        return float(g2(t)) if callable(g2) else float(g2)


@final
class Forward(Process):
    """`dx = f(t) x dt + g(t) dw`: data to noise along an SDE (Song 2021, 2011.13456, eq. 5)."""

    def __init__(self, sde: SDE) -> None:
        self.sde = sde

    def drift(self, x: Tensor, t: float) -> Tensor:
        return self.sde.drift(t) * x

    def squared_diffusion(self, t: float) -> float:
        return float(self.sde.squared_diffusion(t))


@final
class Reverse(Process):
    """`dx = [f x - (1 + c^2)/2 g^2 score(x, t)] dt + c g dw` with dt < 0: noise to data.

    c = 1 is the reverse SDE, c = 0 the probability-flow ODE (Song 2021, eq. 6 and 13). With the
    exact score each c >= 0 has the marginals p_t of `Forward`, though other paths.

    c = 0 is pure transport. The fluxes are then upwind, which is of first order and adds a
    diffusion of `|b| dx / 2`; a small c > 0 comes close to it where `|b| dx > c^2 g^2`. With
    c >= 0.5 and a few cells for each sigma the order is 2.

    Args:
        sde: the SDE that gives f and g.
        score: the score of x_t, exact or learned; see `denoiser_score`.
        c: the amount of noise.
    Raises:
        ValueError: if c is negative or not finite.
    """

    reversed = True

    def __init__(self, sde: SDE, score: Score, c: float = 1.0) -> None:
        self.sde = sde
        self.score = score
        self.c = as_positive("c", c, allow_zero=True)

    def drift(self, x: Tensor, t: float) -> Tensor:
        pull = (1 + self.c**2) / 2 * self.sde.squared_diffusion(t) * self.score(x, t)
        return pull - self.sde.drift(t) * x

    def squared_diffusion(self, t: float) -> float:
        return self.c**2 * float(self.sde.squared_diffusion(t))


@final
class OrnsteinUhlenbeck(Process):
    """`dy = k (theta - y) dtau + g dw`, which forgets its start and stays around theta.

    The law after tau, given y, is `N(theta + (y - theta) e^{-k tau}, g^2/2k (1 - e^{-2k tau}))`
    (Pavliotis 2014, chapter 4; Risken 1996, chapter 5).

    Args:
        rate: k, per unit time.
        level: theta.
        diffusion: g.
    Raises:
        ValueError: if k or g is not positive, or theta not finite.
    """

    def __init__(self, rate: float, level: float, diffusion: float) -> None:
        self.rate = as_positive("rate", rate)
        self.diffusion = as_positive("diffusion", diffusion)
        if not math.isfinite(level):
            raise ValueError(f"level must be finite, got {level:g}")
        self.level = float(level)

    def drift(self, x: Tensor, t: float) -> Tensor:
        return self.rate * (self.level - x)

    def squared_diffusion(self, t: float) -> float:
        return self.diffusion**2

    def transition(self, y: float, tau: float) -> Gaussian:
        """Return the law after the time tau > 0 of a path that starts at y."""
        tau = as_positive("tau", tau)
        mean = self.level + (y - self.level) * math.exp(-self.rate * tau)
        return Gaussian(mean, self._std() * math.sqrt(-math.expm1(-2 * self.rate * tau)))

    def stationary(self) -> Gaussian:
        """Return N(theta, g^2/2k), the law after a long time."""
        return Gaussian(self.level, self._std())

    def _std(self) -> float:
        return self.diffusion / math.sqrt(2 * self.rate)


def denoiser_score(sde: SDE, denoise: DenoiserFunction) -> Score:
    """Return the score of x_t from a denoiser, `(D(x/s; sigma) - x/s) / (s sigma^2)`.

    Args:
        sde: the SDE that gives s(t) and sigma(t).
        denoise: D(y (n, 1), sigma), exact (`law.denoise`) or learned.
    """

    def score(x: Tensor, t: float) -> Tensor:
        s, sigma = sde.scale(t), sde.sigma(t)
        y = (x / s)[:, None]
        with torch.no_grad():
            return score_from_denoised(y, denoise(y, sigma), sigma)[:, 0] / s

    return score
