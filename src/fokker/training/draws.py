"""The random draws of training steps: those made ahead of the device, and the network's own."""

from collections.abc import Callable
from typing import final

import torch

from fokker.formulation import Draws
from fokker.randomness import Randomness

# No more draws are made ahead once they hold so many bytes of the device.
MAX_BYTES = 2**28


@final
class DrawsAhead:
    """The draws of a training's steps, some of which are made before they are asked for.

    Random numbers are drawn on the CPU. While a device computes, the host draws the numbers of the
    next steps and sends them to the device, so that it need not wait for them. The numbers do not
    depend on the order in which they are drawn.

    Args:
        draw: the function that makes the draws of a step.
    """

    def __init__(self, draw: Callable[[int], Draws]) -> None:
        self._draw = draw
        self._made: dict[int, Draws] = {}

    def __call__(self, step: int) -> Draws:
        """Return the draws of a step."""
        return self._made.pop(step) if step in self._made else self._draw(step)

    def prepare(self, steps: range) -> None:
        """Make the draws of these steps, as far as there is room for them."""
        held = 0
        for step in steps:
            try:
                self._made[step] = self._draw(step)
            except Exception:  # It is raised again when the step is asked for, after the save.
                return
            held += self._made[step].nbytes
            if held >= MAX_BYTES:
                return


@final
class NetworkNoise:
    """Torch's own generators in a training, from which a network draws, for instance for dropout.

    They are seeded for each step, so that what is drawn is a function of (seed, step, rank).
    Nothing that happens between steps changes it, and a resumed training goes on exactly.

    Args:
        randomness: the randomness of the training's seed.
        rank: the rank of this process; ranks hold different samples, and draw different numbers.
        device: the device of the network.
    """

    def __init__(self, randomness: Randomness, rank: int, device: torch.device) -> None:
        # Only the first seed is hashed: a hash for each step would take as long as the seeding.
        self._first = randomness.seed_of("dropout", rank)
        self._generators = [torch.default_generator]
        if device.type == "cuda":
            self._generators.append(torch.cuda.default_generators[device.index or 0])

    def begin(self, step: int) -> None:
        """Seed the generators for a step."""
        for generator in self._generators:
            generator.manual_seed((self._first + step) % 2**32)
