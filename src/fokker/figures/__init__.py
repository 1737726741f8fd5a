"""Figures: from arrays to files, one question each, without any training code."""

from fokker.figures.loss_per_sigma import loss_per_sigma
from fokker.figures.samples_beside_data import samples_beside_data
from fokker.figures.style import save
from fokker.figures.trajectory import trajectory

__all__ = ["loss_per_sigma", "samples_beside_data", "save", "trajectory"]
