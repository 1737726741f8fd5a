"""Evaluations of samples and of models."""

from fokker.evaluations.base import Evaluation

__all__ = [
    "Evaluation",
]
