"""Every SDE, as its option has it."""

from fokker.diffusion.sde import (
    EDM,
    SDE,
    Rectified,
    SubVP,
    VEGeometric,
    VESqrt,
    VPCosine,
    VPLinear,
    VPOrnsteinUhlenbeck,
)

#: Each one, by its option.
PLAIN: dict[str, SDE] = {
    "vp_linear": VPLinear(),
    "vp_cosine": VPCosine(),
    "vp_ou": VPOrnsteinUhlenbeck(),
    "sub_vp": SubVP(),
    "ve_geometric": VEGeometric(),
    "ve_sqrt": VESqrt(),
    "edm": EDM(),
    "rectified": Rectified(),
}
#: Those, and one whose noise has other ends than its own.
SDES: dict[str, SDE] = {
    **PLAIN,
    "vp_linear_refitted": VPLinear(sigma_min=0.002, sigma_max=80.0),
}
