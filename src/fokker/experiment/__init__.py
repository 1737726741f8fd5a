"""Experiments: identity, training, sampling, evaluation and the record."""

from fokker.experiment.callbacks import Intervals
from fokker.experiment.fit import InterruptedTraining
from fokker.experiment.loggers import CSV, WandB
from fokker.experiment.models import ModelFolder, find_checkpoint
from fokker.experiment.run import Experiment, Result, load_model, run
from fokker.experiment.sample import Sampling

__all__ = [
    "CSV",
    "Experiment",
    "InterruptedTraining",
    "Intervals",
    "ModelFolder",
    "Result",
    "Sampling",
    "WandB",
    "find_checkpoint",
    "load_model",
    "run",
]
