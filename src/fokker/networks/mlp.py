"""A residual multi-layer perceptron."""

import math
from typing import final

import torch
from torch import Tensor, nn

from fokker.machine.memory import SINGLE, check_fits

# The least memory of a block besides its weights, for its modules are objects too.
BLOCK_BYTES = 10_000
# The width of the embedding of c_noise; a narrow one is cheap next to the hidden layers.
EMBEDDING = 64


@final
class MLP(nn.Module):
    """`F(x, c_noise)`: a residual MLP with Fourier features of c_noise.

    Each block is `h + W2 silu(W1 norm(h) + e)`, e an embedding of c_noise. The output layer is 0
    at first, so that an untrained denoiser is c_skip x.

    Args:
        shape: the shape of one sample, which is flattened inside.
        c_noise_range: the values of c_noise that are mapped to [0, 1].
        width: the width of the hidden layers; null: 64 for data in one dimension, where more only
            costs time, else 256.
        depth: the number of residual blocks.
        num_frequencies: the number of Fourier frequencies, 1/2 to num_frequencies/2 periods on
            [0, 1].
    Raises:
        ValueError: if width, depth or num_frequencies is below 1, or too large for the memory.
    """

    _frequencies: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        c_noise_range: tuple[float, float],
        width: int | None = None,
        depth: int = 3,
        num_frequencies: int = 16,
    ) -> None:
        super().__init__()
        numbers = math.prod(shape)
        if width is None:
            width = 64 if numbers == 1 else 256
        sizes = {"width": width, "depth": depth, "num_frequencies": num_frequencies}
        for key, value in sizes.items():
            if value < 1:
                raise ValueError(f"network.{key} must be at least 1, got {value}")
        self._check_size(numbers, **sizes)
        self._low, self._high = c_noise_range
        self.register_buffer(
            "_frequencies", math.pi * torch.arange(1.0, num_frequencies + 1), persistent=False
        )
        self.embed = nn.Sequential(nn.Linear(2 * num_frequencies, EMBEDDING), nn.SiLU())
        self.first = nn.Linear(numbers, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.last = nn.Linear(width, numbers)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    @staticmethod
    def _check_size(numbers: int, width: int, depth: int, num_frequencies: int) -> None:
        """Refuse a network that is larger than the memory, before a part of it is made."""
        embedding = (2 * num_frequencies + 1) * EMBEDDING
        block = 2 * width + 2 * (width + 1) * width + (EMBEDDING + 1) * width
        ends = (numbers + 1) * width + (width + 1) * numbers
        shares = {"width": ends + depth * block, "depth": depth * block}
        shares["num_frequencies"] = embedding
        sizes = {"width": width, "depth": depth, "num_frequencies": num_frequencies}
        weights = SINGLE * (embedding + ends + depth * block) + depth * BLOCK_BYTES
        key = max(("num_frequencies", "width"), key=lambda name: shares[name])
        key = "depth" if key == "width" and depth > width else key
        check_fits(f"network.{key}", sizes[key], weights, "the weights")

    def forward(self, x: Tensor, c_noise: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return F, in the shape of x.

        Args:
            x: (n, *shape).
            c_noise: (n,).
            condition: none; this network takes no condition.
        Raises:
            ValueError: if there is a condition.
        """
        if condition is not None:
            raise ValueError("network=mlp takes no condition; choose a network that does")
        if c_noise.stride(0) == 0:  # One noise level for all: embed it once.
            c_noise = c_noise[:1]
        place = (c_noise - self._low) / (self._high - self._low)
        angles = place[:, None] * self._frequencies
        embedding = self.embed(torch.cat([angles.cos(), angles.sin()], dim=1))
        hidden = self.first(x.flatten(1))
        for block in self.blocks:
            hidden = block(hidden, embedding)
        found: Tensor = self.last(hidden).reshape(x.shape)
        return found


@final
class Block(nn.Module):
    """A residual block `h + W2 silu(W1 norm(h) + W3 e)`, e the embedding of c_noise."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, width)
        self.condition = nn.Linear(EMBEDDING, width)
        self.outer = nn.Linear(width, width)

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        inner = self.inner(self.norm(hidden)) + self.condition(embedding)
        outer: Tensor = self.outer(nn.functional.silu(inner))
        return hidden + outer
