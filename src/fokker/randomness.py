"""Every random number of the project, as a function of (stream, seed, step, index).

Row i of a stream is the same number whichever process asks for it, in whatever batch: rows are
drawn in whole units from one generator that is reseeded by a hash of (stream, seed, step, unit),
and then sliced. `torch.randn(n)` is no prefix of `torch.randn(m)`, so a unit is never drawn in
part; its size depends on the shape of a row alone.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, final

import torch
from torch import Tensor

from fokker.machine.device import Carrier

Stream = Literal[
    "data", "flip", "held_out", "sigma", "noise", "validation", "prior", "path", "sampler", "init",
    "probe", "yardstick", "dropout",
]


def unit_rows(shape: tuple[int, ...]) -> int:
    """Return the rows in a unit of about 65,536 numbers: a power of two from 16 to 1,024."""
    rows = 65536 // max(1, math.prod(shape))
    return min(1024, max(16, 1 << int(math.log2(max(1, rows)))))


class Row(Protocol):
    """The kind of a stream's rows, which knows how a whole unit of them is drawn."""

    @property
    def unit(self) -> int: ...

    def fill(self, rows: int, generator: torch.Generator) -> Tensor: ...


@final
@dataclass(frozen=True)
class Normal:
    """Rows of N(0, 1), float32."""

    shape: tuple[int, ...]

    @property
    def unit(self) -> int:
        return unit_rows(self.shape)

    def fill(self, rows: int, generator: torch.Generator) -> Tensor:
        return torch.empty((rows, *self.shape)).normal_(generator=generator)


@final
@dataclass(frozen=True)
class Uniform:
    """Numbers of U[0, 1), float64."""

    unit: int = 1024

    def fill(self, rows: int, generator: torch.Generator) -> Tensor:
        return torch.empty(rows, dtype=torch.float64).uniform_(generator=generator)


@final
class Randomness:
    """The random numbers of one seed.

    Args:
        seed: the run's seed, any integer.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._generator = torch.Generator()
        self._last: dict[str, tuple[tuple[int, int, Row], Tensor]] = {}

    def generator(self, stream: Stream, *key: int) -> torch.Generator:
        """Return the generator, reseeded for (stream, seed, key); valid until the next call."""
        return self._generator.manual_seed(self.seed_of(stream, *key))

    def seed_of(self, stream: Stream, *key: int) -> int:
        """Hash (stream, seed, key) to the seed of a generator, below 2^32."""
        text = f"{stream}/{self.seed}/{'/'.join(map(str, key))}"
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        # The CPU generator keeps 32 bits of a seed, so only these are worth passing on.
        return int.from_bytes(digest[:4], "little")

    def rows(self, stream: Stream, start: int, stop: int, row: Row, step: int = 0) -> Tensor:
        """Return rows start to stop of a stream, (stop - start, ...)."""
        first = start // row.unit
        last = max(first, (stop - 1) // row.unit)  # an empty range has a shape too
        parts = []
        for index in range(first, last + 1):
            unit, offset = self._unit(stream, step, index, row), index * row.unit
            parts.append(unit[max(0, start - offset) : stop - offset])
        # Copies even a single part: the unit is kept, and a caller may write into what it gets.
        return torch.cat(parts)

    def _unit(self, stream: Stream, step: int, index: int, row: Row) -> Tensor:
        # Small batches walk through a unit in several calls, so the last one is kept.
        key = (step, index, row)
        if stream not in self._last or self._last[stream][0] != key:
            self._last[stream] = (key, row.fill(row.unit, self.generator(stream, step, index)))
        return self._last[stream][1]

    def normal(
        self, stream: Stream, start: int, stop: int, shape: tuple[int, ...], step: int = 0
    ) -> Tensor:
        """Return rows of N(0, 1), float32, (stop - start, *shape)."""
        return self.rows(stream, start, stop, Normal(shape), step)

    def uniform(self, stream: Stream, start: int, stop: int, step: int = 0) -> Tensor:
        """Return numbers of U[0, 1), float64, (stop - start,)."""
        return self.rows(stream, start, stop, Uniform(), step)

    def permutation(self, stream: Stream, length: int, *key: int) -> Tensor:
        """Return a random order of 0 ... length - 1."""
        return torch.randperm(length, generator=self.generator(stream, *key))


@final
class BrownianPath:
    """One Brownian motion W on [0, 1] for each sample, the same for every number of steps.

    Levy's construction: the value at the middle of an interval is the mean of its ends plus
    `sqrt(length / 4)` times a normal that belongs to that dyadic point and sample. A sampler with
    N steps reads W at i/N, snapped to a dyadic grid. Each increment is divided by the root of
    the snapped length, and so is exactly N(0, I).

    Args:
        randomness: the source of the normals.
        start, stop: the samples' indices in the run.
        shape: the shape of one sample.
    """

    def __init__(
        self, randomness: Randomness, start: int, stop: int, shape: tuple[int, ...]
    ) -> None:
        self._randomness, self._rows, self._shape = randomness, (start, stop), shape

    def _node(self, node: int) -> Tensor:
        return self._randomness.normal("path", *self._rows, self._shape, step=node)

    def increments(self, num_steps: int) -> Iterator[Tensor]:
        """Yield `(W(u_i+1) - W(u_i)) / sqrt(u_i+1 - u_i)` for i = 0 ... num_steps - 1."""
        depth = max(8, math.ceil(math.log2(num_steps)) + 1)
        ticks = [round(i * 2**depth / num_steps) for i in range(1, num_steps + 1)]
        end = self._node(0)
        before, tick_before = torch.zeros_like(end), 0
        for tick, value in self._walk(ticks, 0, 2**depth, before, end, node=1, depth=depth):
            yield (value - before) / math.sqrt((tick - tick_before) / 2**depth)
            before, tick_before = value, tick

    def _walk(
        self, ticks: list[int], low: int, high: int, at_low: Tensor, at_high: Tensor,
        node: int, depth: int,
    ) -> Iterator[tuple[int, Tensor]]:  # fmt: skip
        """Yield (tick, W) for the asked ticks in (low, high], in order, depth first."""
        inside = [tick for tick in ticks if low < tick < high]
        if inside:
            middle = (low + high) // 2
            spread = math.sqrt((high - low) / 2**depth / 4)
            value = (at_low + at_high) / 2 + spread * self._node(node)
            lower = [tick for tick in inside if tick <= middle]
            upper = [tick for tick in inside if tick > middle]
            yield from self._walk(lower, low, middle, at_low, value, 2 * node, depth)
            yield from self._walk(upper, middle, high, value, at_high, 2 * node + 1, depth)
        if high in ticks:
            yield high, at_high


@final
class SamplingNoise:
    """The sampling noise of samples start to stop of a run, in the order a sampler asks for it.

    Args:
        randomness: the source of the numbers.
        start, stop: the samples' indices in the run.
        shape: the shape of one sample.
        num_steps: N; the Brownian path is read at i/N.
        device: the device that the numbers are copied to; all are drawn on the CPU.
    """

    def __init__(
        self,
        randomness: Randomness,
        start: int,
        stop: int,
        shape: tuple[int, ...],
        num_steps: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self._randomness, self._rows, self._shape = randomness, (start, stop), shape
        self._carry = Carrier(device)
        self._increments = BrownianPath(randomness, start, stop, shape).increments(num_steps)
        self._asked = 0

    def prior(self) -> Tensor:
        """Return the start noise, the same for every sampler, grid and N."""
        return self._carry(self._randomness.normal("prior", *self._rows, self._shape))

    def next_increment(self) -> Tensor:
        """Return the step's noise, N(0, I): the next increment of the path. Call it once a step."""
        return self._carry(next(self._increments))

    def fresh(self) -> Tensor:
        """Return new N(0, I) for churn, Langevin steps and correctors; not coupled between N."""
        self._asked += 1
        return self._carry(
            self._randomness.normal("sampler", *self._rows, self._shape, step=self._asked)
        )
