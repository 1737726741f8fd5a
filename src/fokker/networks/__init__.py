"""Networks: backbones F(x, c_noise, condition=None)."""

from fokker.networks.mlp import MLP

__all__ = [
    "MLP",
]
