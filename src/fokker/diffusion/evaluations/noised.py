"""The law of x_t of data in one dimension, in the data's units, and checks of options."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from fokker.data import StandardizedData
from fokker.diffusion.formulations import Diffusion, SamplerWay
from fokker.diffusion.samplers import AnnealedLangevin
from fokker.diffusion.sde import SDE
from fokker.distributions import Distribution
from fokker.machine.memory import DOUBLE, check_fits


@final
@dataclass(frozen=True)
class NoisedLaw:
    """The law of `shift + scale x_t`, `x_t = s (x0 + sigma n)` of the standardised data.

    Attributes:
        law: the law of the data, in their own units, of one dimension.
        shift, scale: the shift and scale of the standardisation.
    """

    law: Distribution
    shift: float
    scale: float

    @classmethod
    def of(cls, data: StandardizedData) -> "NoisedLaw":
        """Return the noised law of data of known law.

        Raises:
            ValueError: if the law is not known.
        """
        if data.law is None:
            raise ValueError("the law of the data is not known")
        return cls(data.law, data.shift, data.scale)

    def mean(self, s: float) -> float:
        """Return the mean of `shift + scale x_t`."""
        return self.shift + s * (float(self.law.mean) - self.shift)

    def std(self, s: float, sigma: float) -> float:
        """Return the standard deviation, `s sqrt(v + (scale sigma)^2)`, v the data's variance."""
        return s * math.sqrt(float(self.law.variance) + (self.scale * sigma) ** 2)

    def cdf(self, x: Tensor, s: float, sigma: float) -> Tensor:
        """Return P(x_t <= x), (n,)."""
        return self.law.cdf(self.shift + (x - self.shift) / s, self.scale * sigma)

    def quantile(self, u: Tensor, s: float, sigma: float) -> Tensor:
        """Return the x with cdf(x) = u, (n,)."""
        return self.shift + s * (self.law.quantile(u, self.scale * sigma) - self.shift)

    def fan(self, s: Tensor, sigma: Tensor, stds: float, count: int) -> Tensor:
        """Return places from `mean - stds std` to `mean + stds std` at b levels, (b, count)."""
        steps = torch.linspace(-stds, stds, count, dtype=torch.float64)
        pairs = list(zip(s.tolist(), sigma.tolist(), strict=True))
        return torch.stack([self.mean(a) + self.std(a, b) * steps for a, b in pairs])

    def densities(self, edges: Tensor, s: Tensor, sigma: Tensor) -> Tensor:
        """Return the mean density in each bin at b levels, (b, n), for edges (b, n + 1)."""
        pairs = list(zip(edges, s.tolist(), sigma.tolist(), strict=True))
        masses = torch.stack([self.cdf(row, a, b).diff() for row, a, b in pairs])
        return masses / edges.diff(dim=1)


def node_places(sde: SDE, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """Return t and s at each grid point above 0, (N,) each."""
    t = sde.time(nodes[:-1])
    return t, sde.scale(t)


def histogram(x: Tensor, edges: Tensor) -> tuple[Tensor, int]:
    """Return the density of points (n,) in bins, as a share of all, and the number outside."""
    x = x.double()
    inside = (x >= edges[0]) & (x <= edges[-1])
    places = torch.searchsorted(edges, x[inside], right=True).clamp(1, len(edges) - 1) - 1
    counts = torch.bincount(places, minlength=len(edges) - 1)
    return counts / (len(x) * edges.diff()), int((~inside).sum())


def lag_note(way: SamplerWay) -> list[str]:
    """Return a note if a sampler's states lag behind the noise level of their grid point."""
    if not isinstance(way.sampler, AnnealedLangevin):
        return []
    return [
        f"sampler={way.name} starts at a node from samples of the level before it: its states "
        "are one level behind the exact law"
    ]


def need_known_line(option: str, model: Diffusion) -> None:
    """Refuse data in more dimensions or of unknown law.

    Raises:
        ValueError: says what data the option needs.
    """
    data = model.data
    if data.law is None or data.law.dim != 1 or not data.fresh:
        kind = "of a known law" if data.fresh and data.law is not None else "a finite set"
        raise ValueError(
            f"evaluation={option} needs data of a known law in one dimension, got samples of "
            f"shape {data.shape}, {kind}; choose data=uniform, gaussian or mixture"
        )


def need_steps(option: str, way: SamplerWay) -> None:
    """Refuse an adaptive sampler, which does not step through grid points, and a single step.

    Raises:
        ValueError: says what to choose.
    """
    if way.sampler.adaptive:
        raise ValueError(
            f"evaluation={option} needs a sampler that walks along the nodes of a grid, got "
            f"sampler={way.name}, which chooses its own; choose one such as sampler=heun"
        )
    if way.num_steps == 1:
        raise ValueError(f"evaluation={option} needs a grid of at least 2 steps, got 1")


def need_memory(option: str, key: str, value: int, numbers: float) -> None:
    """Refuse an option's number that asks for more numbers in float64 than the memory holds.

    Raises:
        ValueError: says how much there is.
    """
    check_fits(f"evaluation.{option}.{key}", value, DOUBLE * numbers)


def need_at_least(option: str, least: dict[str, int], values: object) -> None:
    """Refuse an option's numbers that are too small.

    Raises:
        ValueError: if one is too small.
    """
    for key, lowest in least.items():
        if not getattr(values, key) >= lowest:
            raise ValueError(
                f"evaluation.{option}.{key} must be at least {lowest}, got {getattr(values, key)}"
            )
