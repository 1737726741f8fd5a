"""Samplers: one solver a file, all with one call."""

from fokker.diffusion.samplers.adams import Adams
from fokker.diffusion.samplers.ancestral import Ancestral
from fokker.diffusion.samplers.annealed_langevin import AnnealedLangevin
from fokker.diffusion.samplers.base import Nodes, Noise, Sampler, StartLaw
from fokker.diffusion.samplers.ddim import DDIM
from fokker.diffusion.samplers.dpmpp_2m import DPMpp2M, DPMpp2MSDE
from fokker.diffusion.samplers.dpmpp_3m import DPMpp3M
from fokker.diffusion.samplers.edm_stochastic import EDMStochastic
from fokker.diffusion.samplers.euler import Euler
from fokker.diffusion.samplers.euler_maruyama import EulerMaruyama
from fokker.diffusion.samplers.gaussian import (
    GaussianAnswer,
    gaussian_answer,
    mean_answer,
    sampled_std,
)
from fokker.diffusion.samplers.given_start import GivenStart, spread_quantiles
from fokker.diffusion.samplers.heun import Heun
from fokker.diffusion.samplers.ode_adaptive import ODEAdaptive
from fokker.diffusion.samplers.predictor_corrector import PredictorCorrector
from fokker.diffusion.samplers.reverse_diffusion import ReverseDiffusion

__all__ = [
    "DDIM",
    "Adams",
    "Ancestral",
    "AnnealedLangevin",
    "DPMpp2M",
    "DPMpp2MSDE",
    "DPMpp3M",
    "EDMStochastic",
    "Euler",
    "EulerMaruyama",
    "GaussianAnswer",
    "GivenStart",
    "Heun",
    "Nodes",
    "Noise",
    "ODEAdaptive",
    "PredictorCorrector",
    "ReverseDiffusion",
    "Sampler",
    "StartLaw",
    "gaussian_answer",
    "mean_answer",
    "sampled_std",
    "spread_quantiles",
]
