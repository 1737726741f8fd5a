"""Experiments: identity, training, sampling, evaluation and the record."""

from fokker.experiment.callbacks import Intervals
from fokker.experiment.chain import Chain
from fokker.experiment.engine import Engine
from fokker.experiment.experiment import Experiment
from fokker.experiment.flow_field import FlowField
from fokker.experiment.likelihood import Likelihood
from fokker.experiment.loggers import CSV
from fokker.experiment.marginal_map import MarginalMap
from fokker.experiment.models import ModelFolder
from fokker.experiment.pde import PDE
from fokker.experiment.ready import load_model
from fokker.experiment.reports import Evaluation
from fokker.experiment.run import Result, run
from fokker.experiment.signals import InterruptedTraining
from fokker.experiment.steps_map import StepsMap
from fokker.experiment.wandb_log import WandB

__all__ = [
    "CSV",
    "PDE",
    "Chain",
    "Engine",
    "Evaluation",
    "Experiment",
    "FlowField",
    "InterruptedTraining",
    "Intervals",
    "Likelihood",
    "MarginalMap",
    "ModelFolder",
    "Result",
    "StepsMap",
    "WandB",
    "load_model",
    "run",
]
