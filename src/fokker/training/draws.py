"""Draws of training steps: ahead of the device that computes with them, and by the network."""

from collections.abc import Callable
from typing import final

import torch

from fokker.formulation import Draws
from fokker.randomness import Randomness

# Draws that are ahead hold at most so many bytes of the device, but one step is always ahead.
MAX_BYTES = 2**28


@final
class DrawsAhead:
    """The draws of the steps of a training, of which some are made before they are asked for.

    Random numbers are drawn on the CPU. While a device computes what it was asked for, the host
    draws the next steps' and sends them off, so that the device need not wait for them. The numbers
    are the same in whatever order they are drawn.

    Args:
        draw: gives those of a step.
    """

    def __init__(self, draw: Callable[[int], Draws]) -> None:
        self._draw = draw
        self._made: dict[int, Draws] = {}

    def __call__(self, step: int) -> Draws:
        """Give the draws of a step."""
        return self._made.pop(step) if step in self._made else self._draw(step)

    def prepare(self, steps: range) -> None:
        """Make the draws of these steps, as far as there is room for them."""
        held = 0
        for step in steps:
            try:
                self._made[step] = self._draw(step)
            except Exception:  # It is raised anew where the step is asked for, after the last save.
                return
            held += self._made[step].nbytes
            if held >= MAX_BYTES:
                return


@final
class NetworkNoise:
    """Torch's own generators in a training, from which networks draw, as dropout does.

    Seeded anew for each step, they make what is drawn a function of (seed, step, rank): nothing
    that happens between steps changes it, and a training that is resumed goes on exactly.

    Args:
        randomness: of the training's seed.
        rank: of this process; ranks hold different samples, and so have different noise.
        device: where the network is.
    """

    def __init__(self, randomness: Randomness, rank: int, device: torch.device) -> None:
        # To hash each step would take as long as to seed.
        self._first = randomness.seed_of("dropout", rank)
        self._generators = [torch.default_generator]
        if device.type == "cuda":
            self._generators.append(torch.cuda.default_generators[device.index or 0])

    def begin(self, step: int) -> None:
        """Seed the generators for a step."""
        for generator in self._generators:
            generator.manual_seed((self._first + step) % 2**32)
