"""Halves and quarters of samples, which give the standard error of a metric."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

#: The number of blocks that make up halves and quarters. There are 15 independent contrasts between
#: them, so the standard error of a mean is itself known to `1/sqrt(2 * 15)`, about a fifth.
NUM_BLOCKS = 16
#: The number of samples below which there is no standard error.
MIN_SAMPLES = 20
# Each pair (r, s), with r xor s, is one of five triples that contain each of 1 ... 15 once.
_PAIRS = ((1, 6), (2, 12), (4, 11), (8, 5), (3, 10))


def _membership() -> Tensor:
    """Tell which of 16 blocks are in each of 30 halves and 20 quarters, booleans, (50, 16).

    Number r divides the blocks j into halves by the parity of the bits of `r and j`: into those
    where row r of a Hadamard matrix is 1 and -1. Numbers r and s divide them into four quarters,
    and the quarters combine to halves in three ways, by r, s and `r xor s`. So the 15 halvings
    are orthogonal, and five divisions into quarters have the same 15 contrasts.
    """
    parity = torch.tensor([[bin(r & j).count("1") % 2 for j in range(16)] for r in range(16)]) == 1
    halves = [part for row in parity[1:] for part in (row, ~row)]
    quarters = [
        first & second
        for r, s in _PAIRS
        for first in (parity[r], ~parity[r])
        for second in (parity[s], ~parity[s])
    ]
    return torch.stack(halves + quarters)


NUM_HALVES = 30
#: The blocks in each part, (50, 16): the halves in pairs, then the quarters in fours.
PARTS = _membership()


@final
@dataclass(frozen=True)
class OnParts:
    r"""The values of a metric on halves and on quarters of its samples.

    Near the data a distance is no mean over samples: the first order in the sampling noise
    vanishes, and a jackknife claims 1.3 to 2 times the true spread. But the values of two halves
    that share no sample are independent, and `(T_A - T_B)^2 / 2` has the variance of T of n/2
    samples as its expectation, whatever T is. The variance of T of m samples falls as 1/m both near
    the data and far from them, but not always between. The quarters measure how it falls:

        var T = (3 c_2 - c_4) / 2,  c_2 = mean (T_A - T_B)^2 / 4 over divisions into halves,
                                    c_4 = mean var(T_1, ..., T_4) / 4 over those into quarters,

    the extrapolation of `m var T_m = c + b / m` from n/2 and n/4 to n. If T is a mean, c_2 = c_4,
    and the result is the textbook's variance from means of 16 blocks. The same holds for
    differences of two runs whose samples belong together: subtract first.

    Attributes:
        halves: T_A and T_B of 15 halvings, (15, 2).
        quarters: T of 5 divisions into quarters, (5, 4).
        used: the share of the samples that are in blocks, which are of equal size.

    Source: McCarthy 1969, "Pseudo-replication: half samples", for the orthogonal halvings;
    Richardson 1911 for the extrapolation.
    """

    halves: Tensor
    quarters: Tensor
    used: float

    @classmethod
    def of(cls, values: Tensor, count: int) -> "OnParts":
        """Split the values on PARTS, (50,), of a metric of `count` samples."""
        halves, quarters = values[:NUM_HALVES].view(-1, 2), values[NUM_HALVES:].view(-1, 4)
        return cls(halves, quarters, used_of(count) / count)

    def __sub__(self, other: "OnParts") -> "OnParts":
        """Return the difference of two metrics, part by part."""
        return OnParts(self.halves - other.halves, self.quarters - other.quarters, self.used)

    def standard_error(self) -> float:
        """Return the square root of the variance, in the metric's units; see the class."""
        of_halves = float(self.halves.diff(dim=1).square().mean()) / 4
        of_quarters = float(self.quarters.var(dim=1, correction=1).mean()) / 4
        # Sampling noise may make the term of the quarters so large that nothing would be left.
        variance = max((3 * of_halves - of_quarters) / 2, of_halves / 2)
        return math.sqrt(variance * self.used)


def groups_in_blocks(samples: Tensor, group: int) -> Tensor:
    """Put samples (n, ...) that depend on each other, `group` in a row, into one block each.

    Block j contains the values at j, j + 16, j + 32, .... So 16 groups are taken at a time, and
    written as the first member of each group, then the second of each, and so on. The rest, less
    than 16 groups, stays at the end.
    """
    if group == 1:
        return samples
    size = NUM_BLOCKS * group
    whole = len(samples) - len(samples) % size
    places = torch.arange(whole).view(-1, NUM_BLOCKS, group).transpose(1, 2).flatten()
    return torch.cat([samples[:whole][places], samples[whole:]])


def used_of(count: int) -> int:
    """Count the samples that are in blocks of equal size: all but at most the last 15.

    Raises:
        ValueError: a block would be empty.
    """
    if count < NUM_BLOCKS:
        raise ValueError(f"a standard error needs at least {NUM_BLOCKS} samples, got {count}")
    return count - count % NUM_BLOCKS


def means_of_parts(values: Tensor) -> Tensor:
    """Return the means of values of samples, (n,), over each part, (50,).

    Args:
        values: in blocks of equal size: block j has those of samples j, j + 16, j + 32, ....
    """
    blocks = values.view(-1, NUM_BLOCKS).mean(dim=0)
    parts = PARTS.to(blocks)
    return parts @ blocks / parts.sum(dim=1)


def on_parts_by(metric: Callable[[Tensor], float], samples: Tensor) -> OnParts:
    """Return any metric on halves and quarters, by computing it for each part of samples.

    Args:
        metric: a function of samples, (m, ...).
        samples: in blocks of equal size: block j has samples j, j + 16, j + 32, ....
    """
    blocks = samples[: used_of(len(samples))].reshape(-1, NUM_BLOCKS, *samples.shape[1:])
    values = [metric(blocks[:, part].flatten(0, 1)) for part in PARTS.to(samples.device)]
    return OnParts.of(torch.tensor(values, dtype=torch.float64), len(samples))


def rows_of_parts(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sorted rows of the points of each part, from a single sort of all points.

    Args:
        x: points, (k, n), in blocks of equal size: block j has points j, j + 16, j + 32, ....

    Returns:
        The rows of the halves, (30, k, n / 2), and of the quarters, (20, k, n / 4).
    """
    # numpy sorts twice as fast as torch, and selects six times as fast.
    values = x.detach().cpu().numpy()
    order = np.argsort(values, axis=1)
    rows = np.take_along_axis(values, order, axis=1).ravel()
    owner = (order % NUM_BLOCKS).astype(np.uint8).ravel()
    found = []
    for parts in PARTS.numpy()[:NUM_HALVES], PARTS.numpy()[NUM_HALVES:]:
        # flatnonzero is three times as fast as a selection by booleans.
        inside = np.flatnonzero(np.take(parts, owner, axis=1)).reshape(len(parts), -1)
        inside -= np.arange(len(parts))[:, None] * len(rows)
        chosen = rows.take(inside).reshape(len(parts), len(values), -1)
        found.append(torch.from_numpy(chosen).to(x.device))
    return found[0], found[1]
