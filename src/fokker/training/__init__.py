"""Training of any formulation: steps, gradients over ranks, averages of weights."""

from fokker.training.divergence import DivergedError
from fokker.training.module import Training

__all__ = ["DivergedError", "Training"]
