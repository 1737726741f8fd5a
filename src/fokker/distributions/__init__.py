"""Laws of data with known density: samples, exact denoisers, and the least possible errors."""

from fokker.distributions.affine import Affine
from fokker.distributions.base import Distribution, Estimate
from fokker.distributions.checkerboard import Checkerboard
from fokker.distributions.curve import Curve
from fokker.distributions.empirical import Empirical
from fokker.distributions.gaussian import Gaussian, GaussianCovariance
from fokker.distributions.gaussian_mixture import GaussianMixture
from fokker.distributions.ring import Ring
from fokker.distributions.swiss_roll import swiss_roll
from fokker.distributions.torus import Torus
from fokker.distributions.two_moons import two_moons
from fokker.distributions.uniform import Uniform

__all__ = [
    "Affine",
    "Checkerboard",
    "Curve",
    "Distribution",
    "Empirical",
    "Estimate",
    "Gaussian",
    "GaussianCovariance",
    "GaussianMixture",
    "Ring",
    "Torus",
    "Uniform",
    "swiss_roll",
    "two_moons",
]
