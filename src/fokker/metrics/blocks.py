"""Blocks of samples, from which the chance in a metric is known."""

import math

import numpy as np
import torch
from torch import Tensor

#: Blocks of a standard error, which is itself known to `1/sqrt(2 (10 - 1))`, about a quarter.
NUM_BLOCKS = 10
#: With fewer samples than this there is no standard error.
MIN_SAMPLES = 20


def block_of(count: int, num_blocks: int, device: torch.device | str = "cpu") -> Tensor:
    """The block of each sample, (n,): block j holds samples j, j + b, j + 2b, ....

    Interleaved, so that samples that start at evenly spread quantiles are so in every block.
    """
    return torch.arange(count, device=device) % num_blocks


def standard_error(without: Tensor) -> float:
    r"""`sqrt( (b-1)/b sum_j (T_(j) - mean T)^2 )`, T_(j) a metric without block j: the jackknife.

    Not the spread of the metric of single blocks: a distance between fewer samples and the data is
    larger, by much for good samples, while with a tenth left out it is what it was. Of a mean it is
    the textbook's `s / sqrt(b)`, s the standard deviation of the means of equal blocks.

    Args:
        without: T_(j), (b,).

    Source: Efron & Stein 1981, "The jackknife estimate of variance", eq. 1.3, over blocks.
    """
    return math.sqrt(len(without) - 1) * float(without.std(correction=0))


def cdfs_without_blocks(x: Tensor, y: Tensor, num_blocks: int) -> tuple[Tensor, Tensor]:
    """`F_(j) - G` between neighbouring points of x and y, (b, n + m - 1), and their distances.

    F_(j) is the distribution function of x without block j, G that of y. All b come from one sort.

    Args:
        x: points, (n,).
        y: points, (m,).
        num_blocks: b.
    """
    n, m = x.shape[0], y.shape[0]
    merged = torch.cat([x, y])
    order = merged.argsort()
    blocks = block_of(n, num_blocks, x.device)
    owner = torch.cat([blocks, blocks.new_full((m,), num_blocks)])[order]
    names = torch.arange(num_blocks + 1, device=x.device)[:, None]
    counts = (owner[:-1] == names).to(x.dtype).cumsum(dim=1)
    sizes = torch.bincount(blocks, minlength=num_blocks)[:, None]
    own, reference = counts[:-1], counts[-1]
    kept = (own.sum(dim=0) - own) / (n - sizes)
    return kept - reference / m, merged[order].diff()


def rows_without_blocks(x: Tensor, num_blocks: int) -> list[Tensor]:
    """Rows of points without block j, sorted, b tensors of (k, n - n_j); one sort in all.

    Args:
        x: points, (k, n).
        num_blocks: b.
    """
    # numpy sorts twice as fast as torch, and selects six times as fast.
    values = x.detach().cpu().numpy()
    order = np.argsort(values, axis=1)
    rows = np.take_along_axis(values, order, axis=1)
    owner = block_of(x.shape[1], num_blocks).numpy()[order]
    kept = (rows[owner != j].reshape(len(rows), -1) for j in range(num_blocks))
    return [torch.from_numpy(part).to(x.device) for part in kept]
