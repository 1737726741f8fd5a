"""Formulations: processes with their losses and ways to sample."""

from fokker.diffusion.formulations.ddpm import DDPM
from fokker.diffusion.formulations.diffusion import Diffusion
from fokker.diffusion.formulations.edm import EDM
from fokker.diffusion.formulations.smld import SMLD
from fokker.diffusion.formulations.vp_sde import VPSDE
from fokker.diffusion.formulations.way import SamplerWay

__all__ = ["DDPM", "EDM", "SMLD", "VPSDE", "Diffusion", "SamplerWay"]
