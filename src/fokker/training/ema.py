"""Exponential moving averages of weights."""

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from fokker.machine.ranks import local, spread_like, whole


@final
class EMA:
    """Averages of a module's weights, one for each half-life.

    `ema <- beta ema + (1 - beta) w` with `beta = 2^(-B/h)` after each batch of B images, and
    `h = min(half_life, rampup * images)`, so that the random start is soon forgotten (Karras
    2022's code). Half-lives count images, so that they do not depend on the batch.

    Args:
        half_lives: the half-lives in images, one or several; `ema` means the first one's average.
        rampup: the largest half-life as a share of the images seen; null: no limit.
    Raises:
        ValueError: if there is no half-life, one is not positive or comes twice, or rampup is not
            positive.
    """

    def __init__(self, half_lives: Sequence[int] = (50_000,), rampup: float | None = 0.05) -> None:
        if not half_lives or any(not half_life > 0 for half_life in half_lives):
            raise ValueError(
                f"ema.half_lives must be one or more positive numbers, got {list(half_lives)}"
            )
        if len(set(half_lives)) != len(half_lives):
            raise ValueError(f"ema.half_lives must differ, got {list(half_lives)}")
        if rampup is not None and not rampup > 0:
            raise ValueError(f"ema.rampup must be positive or null, got {rampup:g}")
        self.half_lives = tuple(half_lives)
        self._rampup = rampup
        self._module: nn.Module = nn.Module()
        self._live: list[Tensor] = []
        self._averages: list[list[Tensor]] = []
        self._names: list[str] = []
        self._is_spread = False

    @property
    def names(self) -> list[str]:
        """Return the names of the averages: ema_<half-life in images>."""
        return [f"ema_{int(half_life)}" for half_life in self.half_lives]

    def follow(self, module: nn.Module) -> None:
        """Start the averages at the module's present weights, and follow them from then on."""
        self._module = module
        self._names = [name for name, _ in module.named_parameters()]
        self._live = list(module.parameters())
        self._averages = [[p.detach().clone() for p in self._live] for _ in self.half_lives]
        self._is_spread = any(hasattr(weight, "to_local") for weight in self._live)

    def update(self, images: int, batch_size: int) -> None:
        """Add the present weights, after `images` in all and a batch of `batch_size` of them."""
        # On some devices a module that is moved there has new parameters.
        if next(self._module.parameters()) is not self._live[0]:
            self._live = list(self._module.parameters())
        device = self._live[0].device
        if self._averages[0][0].device != device:
            self._averages = [[w.to(device) for w in avg] for avg in self._averages]
        with torch.no_grad():
            for half_life, average in zip(self.half_lives, self._averages, strict=True):
                limit = math.inf if self._rampup is None else self._rampup * images
                weight = 1 - 0.5 ** (batch_size / min(half_life, limit))
                if self._is_spread:
                    average, live = ([local(w) for w in side] for side in (average, self._live))
                    torch._foreach_lerp_(average, live, weight)
                else:
                    torch._foreach_lerp_(average, self._live, weight)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Return the averages by name, each as a state dict of the module."""
        return {
            name: dict(zip(self._names, average, strict=True))
            for name, average in zip(self.names, self._averages, strict=True)
        }

    def whole_state(self) -> dict[str, dict[str, Tensor]]:
        """Return the averages with whole weights, for a file; every rank must call this."""
        state = self.state_dict()
        return {n: {key: whole(w) for key, w in weights.items()} for n, weights in state.items()}

    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Go on from saved averages.

        Raises:
            ValueError: if they are averages over other half-lives.
        """
        if set(state) != set(self.names):
            raise ValueError(
                f"the checkpoint averages weights over {sorted(state)}, but ema.half_lives asks "
                f"for {self.names}; set ema.half_lives to the checkpoint's"
            )
        for name, average in zip(self.names, self._averages, strict=True):
            for weight, key in zip(average, self._names, strict=True):
                spread_like(weight, state[name][key])
