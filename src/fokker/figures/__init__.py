"""Figures: from arrays to files, one question for each figure, without any training code."""

from fokker.figures.chain import chain_histograms, chain_points
from fokker.figures.error_budget import error_budget
from fokker.figures.factor_bars import Bar, factor_bars
from fokker.figures.flow_fields import flow_fields
from fokker.figures.front_per_nfe import front_per_nfe
from fokker.figures.gaussian_errors import gaussian_errors
from fokker.figures.loss_per_level import loss_per_level
from fokker.figures.marginal_maps import marginal_maps
from fokker.figures.marginals import marginals
from fokker.figures.metric_per_step import metric_against_nfe, metric_label
from fokker.figures.samples_beside_data import samples_beside_data
from fokker.figures.search import trials_and_parameters
from fokker.figures.steps_maps import steps_maps
from fokker.figures.style import save
from fokker.figures.training_curve import training_curve
from fokker.figures.training_curves import training_curves
from fokker.figures.trajectory import trajectory

__all__ = [
    "Bar",
    "chain_histograms",
    "chain_points",
    "error_budget",
    "factor_bars",
    "flow_fields",
    "front_per_nfe",
    "gaussian_errors",
    "loss_per_level",
    "marginal_maps",
    "marginals",
    "metric_against_nfe",
    "metric_label",
    "samples_beside_data",
    "save",
    "steps_maps",
    "training_curve",
    "training_curves",
    "trajectory",
    "trials_and_parameters",
]
