"""Evaluations of processes with Gaussian noise."""

from fokker.diffusion.evaluations.chain import Chain
from fokker.diffusion.evaluations.flow_field import FlowField
from fokker.diffusion.evaluations.likelihood import Likelihood
from fokker.diffusion.evaluations.marginal_map import MarginalMap
from fokker.diffusion.evaluations.pde import PDE
from fokker.diffusion.evaluations.steps_map import StepsMap

__all__ = [
    "PDE",
    "Chain",
    "FlowField",
    "Likelihood",
    "MarginalMap",
    "StepsMap",
]
