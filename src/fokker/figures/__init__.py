"""Figures: from arrays to files, one question each, without any training code."""

from fokker.figures.error_budget import error_budget
from fokker.figures.gaussian_errors import gaussian_errors
from fokker.figures.loss_per_sigma import loss_per_sigma
from fokker.figures.marginals import marginals
from fokker.figures.metric_per_step import metric_against_nfe
from fokker.figures.samples_beside_data import samples_beside_data
from fokker.figures.style import save
from fokker.figures.trajectory import trajectory

__all__ = [
    "error_budget",
    "gaussian_errors",
    "loss_per_sigma",
    "marginals",
    "metric_against_nfe",
    "samples_beside_data",
    "save",
    "trajectory",
]
