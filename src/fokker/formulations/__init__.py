"""Formulations: processes with their losses and ways to sample."""

from fokker.formulations.ddpm import DDPM
from fokker.formulations.diffusion import Diffusion
from fokker.formulations.edm import EDM
from fokker.formulations.smld import SMLD
from fokker.formulations.vp_sde import VPSDE
from fokker.formulations.way import SamplerWay

__all__ = ["DDPM", "EDM", "SMLD", "VPSDE", "Diffusion", "SamplerWay"]
