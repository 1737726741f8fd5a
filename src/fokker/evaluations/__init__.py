"""Evaluations of samples and of models."""

from fokker.evaluations.base import Evaluation
from fokker.formulation import Report
from fokker.measures import UNITS, Measure

__all__ = [
    "UNITS",
    "Evaluation",
    "Measure",
    "Report",
]
