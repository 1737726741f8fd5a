"""Grids: the noise levels that a sampler steps through."""

from fokker.diffusion.grids.base import Grid, Sampled
from fokker.diffusion.grids.rules import (
    IDDPM,
    EDMRho,
    Geometric,
    Levels,
    QuadraticTime,
    UniformTime,
)
from fokker.diffusion.grids.spectral import Spectral

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
