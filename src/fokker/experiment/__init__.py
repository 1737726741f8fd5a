"""Experiments: identity, training, sampling, evaluation and the record."""

from fokker.experiment.callbacks import Intervals
from fokker.experiment.fit import InterruptedTraining
from fokker.experiment.likelihood import Likelihood
from fokker.experiment.loggers import CSV, WandB
from fokker.experiment.models import ModelFolder, find_checkpoint
from fokker.experiment.pde import PDE
from fokker.experiment.reports import Evaluation
from fokker.experiment.run import Experiment, Result, load_model, run
from fokker.experiment.sample import Sampling

__all__ = [
    "CSV",
    "PDE",
    "Evaluation",
    "Experiment",
    "InterruptedTraining",
    "Intervals",
    "Likelihood",
    "ModelFolder",
    "Result",
    "Sampling",
    "WandB",
    "find_checkpoint",
    "load_model",
    "run",
]
