"""Grids: the noise levels that a sampler steps through."""

from fokker.grids.base import Grid, Sampled
from fokker.grids.rules import IDDPM, EDMRho, Geometric, Levels, QuadraticTime, UniformTime
from fokker.grids.spectral import Spectral

__all__ = [
    "IDDPM",
    "EDMRho",
    "Geometric",
    "Grid",
    "Levels",
    "QuadraticTime",
    "Sampled",
    "Spectral",
    "UniformTime",
]
