"""One run: a model found or trained, sampled, evaluated and recorded."""

from fokker.experiment.experiment import Experiment, Result
from fokker.experiment.ready import load_model
from fokker.experiment.run import run

__all__ = [
    "Experiment",
    "Result",
    "load_model",
    "run",
]
