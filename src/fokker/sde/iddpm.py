"""The noise levels of improved DDPM, as EDM writes them."""

import torch
from torch import Tensor


def iddpm_nodes(num_levels: int = 1000, c1: float = 0.001, c2: float = 0.008) -> Tensor:
    """u_0 > ... > u_M = 0 of iDDPM's cosine chain, (M + 1,), float64.

    `ab_j = sin^2(pi j / (2 M (c2 + 1)))`, `u_M = 0`,
    `u_{j-1} = sqrt((u_j^2 + 1) / max(ab_{j-1} / ab_j, c1) - 1)` (Karras 2022, table 1).
    """
    index = torch.arange(num_levels + 1, dtype=torch.float64)
    bars = torch.sin(torch.pi / 2 * index / (num_levels * (c2 + 1))) ** 2
    nodes = torch.zeros_like(bars)
    for j in range(num_levels, 0, -1):
        ratio = torch.clamp(bars[j - 1] / bars[j], min=c1)
        nodes[j - 1] = ((nodes[j] ** 2 + 1) / ratio - 1).sqrt()
    return nodes
