"""Blocks of steps, over which lightning iterates instead of data; a step fetches its own rows."""

from collections.abc import Iterator
from time import perf_counter
from typing import final

import lightning as L

MAX_BLOCK_STEPS = 128
BLOCK_SECONDS = 0.2


@final
class StepBlocks:
    """The optimizer steps of a training, as blocks (first, last + 1).

    A block ends at each multiple of every interval, where something is saved or logged, and at
    the last step. It is at most as long as fits in a fifth of a second, so that signals are seen
    soon.

    Args:
        trainer: the trainer, whose `global_step` says where to start, also after a restart.
        max_steps: the number of steps of the training.
        intervals: the intervals in steps.
    """

    def __init__(self, trainer: L.Trainer, max_steps: int, intervals: tuple[int, ...]) -> None:
        self._trainer, self._max_steps, self._intervals = trainer, max_steps, intervals

    def __iter__(self) -> Iterator[tuple[int, int]]:
        first, length = self._trainer.global_step, 1
        while first < self._max_steps:
            ends = [first - first % interval + interval for interval in self._intervals]
            last = min(first + length, self._max_steps, *ends)
            started = perf_counter()
            yield first, last
            per_step = (perf_counter() - started) / (last - first)
            length = max(1, min(MAX_BLOCK_STEPS, 2 * length, int(BLOCK_SECONDS / per_step)))
            # Each rank has its own clock, and all must take the same blocks.
            length = self._trainer.strategy.broadcast(length)
            first = last
