"""SDEs: s(t) and sigma(t), one class an SDE."""

from fokker.sde.base import SDE
from fokker.sde.edm import EDM
from fokker.sde.iddpm import iddpm_nodes
from fokker.sde.rectified import Rectified
from fokker.sde.sub_vp import SubVP
from fokker.sde.ve_geometric import VEGeometric
from fokker.sde.ve_sqrt import VESqrt
from fokker.sde.vp_cosine import VPCosine
from fokker.sde.vp_linear import VPLinear
from fokker.sde.vp_ou import VPOrnsteinUhlenbeck

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
