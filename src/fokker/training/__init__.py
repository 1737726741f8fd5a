"""The training of a formulation: its optimizer, averages, gradients over ranks, and files."""

from fokker.training.callbacks import Intervals
from fokker.training.divergence import DivergedError
from fokker.training.engine import Engine
from fokker.training.module import Training
from fokker.training.signals import InterruptedTraining

__all__ = [
    "DivergedError",
    "Engine",
    "InterruptedTraining",
    "Intervals",
    "Training",
]
