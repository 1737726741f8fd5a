"""The groups of a configuration that formulations with Gaussian noise have."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from torch import nn

from fokker.diffusion.exact import Exact
from fokker.diffusion.grids import Grid
from fokker.diffusion.noise_levels import NoiseLevels
from fokker.diffusion.preconditioning import Preconditioning
from fokker.diffusion.samplers import Sampler
from fokker.diffusion.sde import SDE
from fokker.diffusion.weighting import Weighting


@final
@dataclass(frozen=True)
class Groups:
    """The type that each group gives; this class is only read, and never instantiated."""

    sde: SDE
    preconditioning: Preconditioning
    weighting: Weighting
    noise_levels: NoiseLevels
    network: Callable[..., nn.Module] | Exact
    sampler: Sampler
    grid: Grid
