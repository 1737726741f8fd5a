"""Networks: backbones F(x, c_noise, condition=None), and the ideal denoiser in their place."""

from fokker.networks.exact import Exact
from fokker.networks.mlp import MLP

__all__ = ["MLP", "Exact"]
