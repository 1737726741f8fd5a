"""SDEs: s(t) and sigma(t), one class an SDE."""

from fokker.diffusion.sde.base import SDE
from fokker.diffusion.sde.edm import EDM
from fokker.diffusion.sde.iddpm import iddpm_nodes
from fokker.diffusion.sde.rectified import Rectified
from fokker.diffusion.sde.sub_vp import SubVP
from fokker.diffusion.sde.ve_geometric import VEGeometric
from fokker.diffusion.sde.ve_sqrt import VESqrt
from fokker.diffusion.sde.vp_cosine import VPCosine
from fokker.diffusion.sde.vp_linear import VPLinear
from fokker.diffusion.sde.vp_ou import VPOrnsteinUhlenbeck

__all__ = [
    "EDM",
    "SDE",
    "Rectified",
    "SubVP",
    "VEGeometric",
    "VESqrt",
    "VPCosine",
    "VPLinear",
    "VPOrnsteinUhlenbeck",
    "iddpm_nodes",
]
