"""The noise levels of improved DDPM, as EDM writes them."""

import math

import torch
from torch import Tensor

from fokker.machine.memory import DOUBLE, check_fits


def iddpm_nodes(num_levels: int = 1000, c1: float = 0.001, c2: float = 0.008) -> Tensor:
    """Return u_0 > ... > u_M = 0 of iDDPM's cosine chain, (M + 1,), float64.

    `ab_j = sin^2(pi j / (2 M (c2 + 1)))`, `u_M = 0`,
    `u_{j-1} = sqrt((u_j^2 + 1) / max(ab_{j-1} / ab_j, c1) - 1)` (Karras 2022, table 1).

    Raises:
        ValueError: if there are too many levels for the memory.
    """
    check_fits("num_levels", num_levels, 12 * DOUBLE * num_levels, "the levels")
    index = torch.arange(num_levels + 1, dtype=torch.float64)
    bars = torch.sin(torch.pi / 2 * index / (num_levels * (c2 + 1))) ** 2
    # Python numbers give the same bits as tensors, and are a hundred times as fast.
    shares, nodes = bars.tolist(), [0.0]
    for j in range(num_levels, 0, -1):
        ratio = max(shares[j - 1] / shares[j], c1)
        nodes.append(math.sqrt((nodes[-1] * nodes[-1] + 1) / ratio - 1))
    return torch.tensor(nodes[::-1], dtype=torch.float64)
