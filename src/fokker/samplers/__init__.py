"""Samplers: one solver a file, all with one call."""

from fokker.samplers.adams import Adams
from fokker.samplers.ancestral import Ancestral
from fokker.samplers.annealed_langevin import AnnealedLangevin
from fokker.samplers.base import Nodes, Noise, Sampler, StartLaw
from fokker.samplers.ddim import DDIM
from fokker.samplers.dpmpp_2m import DPMpp2M, DPMpp2MSDE
from fokker.samplers.dpmpp_3m import DPMpp3M
from fokker.samplers.edm_stochastic import EDMStochastic
from fokker.samplers.euler import Euler
from fokker.samplers.euler_maruyama import EulerMaruyama
from fokker.samplers.gaussian import GaussianAnswer, gaussian_answer, mean_answer, sampled_std
from fokker.samplers.given_start import GivenStart, spread_quantiles
from fokker.samplers.heun import Heun
from fokker.samplers.ode_adaptive import ODEAdaptive
from fokker.samplers.predictor_corrector import PredictorCorrector
from fokker.samplers.reverse_diffusion import ReverseDiffusion

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
