"""A torus in three dimensions."""

import math
from typing import final

import torch
from torch import Tensor

from fokker.distributions.arguments import as_positive, row_blocks
from fokker.distributions.noisy import NoisySurface, SurfacePosterior

# The integrand around the tube is followed down to exp(-DEPTH) of its peak. On the whole circle the
# trapezoidal rule errs by exp(-NODES acosh(major/minor)) at worst: 1e-13 at major = 1.05 minor.
DEPTH = 40.0
NODES = 96


@final
class Torus(NoisySurface):
    """The torus `((R + r cos v) cos u, (R + r cos v) sin u, r sin v)`, uniform in area, with noise.

    x0 is a point c of it plus N(0, std^2 I). The angles have the density
    `(1 + r/R cos v) / (2 pi)^2`. Given v, u is von Mises distributed around the azimuth of x: its
    integral is a Bessel function. The integral over v is done by quadrature.

    Args:
        major: R, the distance from the centre to the middle of the tube.
        minor: r, the radius of the tube, below major.
        std: the standard deviation of the noise; 0 leaves the surface itself.

    Raises:
        ValueError: not 0 < minor < major, or std is negative.
    """

    def __init__(self, major: float, minor: float, std: float = 0.0) -> None:
        self.major = as_positive("major", major)
        self.minor = as_positive("minor", minor)
        if self.minor >= self.major:
            raise ValueError(f"minor must be below major={self.major:g}, got {self.minor:g}")
        across = (self.major**2 + 1.5 * self.minor**2) / 2
        variance = torch.tensor([across, across, self.minor**2 / 2], dtype=torch.float64)
        super().__init__(torch.zeros(3, dtype=torch.float64), variance, std)

    def sample_surface(self, n: int, generator: torch.Generator) -> Tensor:
        uniform = torch.rand(n, 3, generator=generator, dtype=torch.float64)
        u, v = (2 * math.pi * uniform[:, :2]).unbind(dim=1)
        # A uniform v, kept with probability (1 + r/R cos v) / 2 and else turned by pi, has the
        # density (1 + r/R cos v) / 2 pi: v and v + pi exchange their surplus.
        kept = 2 * uniform[:, 2] < 1 + self.minor / self.major * v.cos()
        v = torch.where(kept, v, v + math.pi)
        radius = self.major + self.minor * v.cos()
        return torch.stack((radius * u.cos(), radius * u.sin(), self.minor * v.sin()), dim=1)

    def surface_posterior(self, x: Tensor, total: Tensor) -> SurfacePosterior:
        blocks = [self._block(x[b], total[b]) for b in row_blocks(len(x), NODES, 1 << 18)]
        return SurfacePosterior(*(torch.cat(part) for part in zip(*blocks)))

    def _block(self, x: Tensor, total: Tensor) -> SurfacePosterior:
        t = total[:, None]
        distance = torch.linalg.vector_norm(x[:, :2], dim=1)
        # Polar coordinates of x around the tube's middle, in the half plane through x.
        a, b = distance - self.major, x[:, 2]
        depth = torch.hypot(a, b)
        nearest = torch.atan2(b, a)
        # |c - x|^2 = (depth - r)^2 + 4 depth r sin^2((v - nearest)/2), at the azimuth of x.
        steepness = 2 * depth * self.minor / total
        sine = (DEPTH / steepness).sqrt()
        # The clamp stays below 1, where asin has an infinite slope and autograd would give NaN.
        half_reach = torch.where(sine < 1, sine.clamp(max=1 - 1e-9).asin(), math.pi / 2)
        places = (torch.arange(NODES, dtype=torch.float64) + 0.5) * (2 / NODES) - 1
        offset = 2 * half_reach[:, None] * places
        v = nearest[:, None] + offset
        radius = self.major + self.minor * v.cos()
        bessel = radius * distance[:, None] / t
        order0 = torch.special.i0e(bessel)
        missing = _missing(bessel, order0)
        mass = radius * order0 * (-steepness[:, None] * (offset / 2).sin() ** 2).exp()
        summed = mass.sum(dim=1)
        share = mass / summed[:, None]
        out = radius * (1 - missing)
        up = self.minor * v.sin()
        mean_out, mean_up = (share * out).sum(dim=1), (share * up).sum(dim=1)
        # Var = E[radius^2 - out^2] around the axis at given v, plus that of (out, up) over v.
        within = (share * radius**2 * missing * (2 - missing)).sum(dim=1)
        between = (out - mean_out[:, None]) ** 2 + (up - mean_up[:, None]) ** 2
        variance = within + (share * between).sum(dim=1)
        log_mass = (summed * half_reach * 2 / NODES / (math.pi * self.major)).log()
        log_density = (
            log_mass - 1.5 * (2 * math.pi * total).log() - (depth - self.minor) ** 2 / (2 * total)
        )
        direction = x[:, :2] / torch.where(distance > 0, distance, 1.0)[:, None]
        mean = torch.cat((mean_out[:, None] * direction, mean_up[:, None]), dim=1)
        return SurfacePosterior(log_density, mean, variance)


def _missing(x: Tensor, order0: Tensor) -> Tensor:
    """Return `1 - I1(x) / I0(x)`, with a small relative error for large x too.

    Beyond 200 it is the asymptotic series (from Abramowitz & Stegun 9.7.1).
    """
    series = 0.0 * x
    inverse = 1 / x.clamp(min=200.0)
    for coefficient in (1073 / 1024, 13 / 32, 25 / 128, 1 / 8, 1 / 8, 1 / 2):
        series = (series + coefficient) * inverse
    return torch.where(x > 200, series, 1 - torch.special.i1e(x) / order0)
