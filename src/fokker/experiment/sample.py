"""Drawing the samples of a run."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import final

import torch
from torch import Tensor

from fokker.formulations import Diffusion
from fokker.grids import Grid
from fokker.progress import Steps, nobody
from fokker.randomness import Randomness, unit_rows
from fokker.ranks import ALONE, Ranks
from fokker.samplers import Sampler
from fokker.signals import SIGNALS

PATH_POINTS = 4000
# Numbers of a state that are kept: of large images few samples are drawn.
PATH_NUMBERS, FEWEST_PATHS = 2**22, 8
PATH_PANELS = 6


@final
@dataclass(frozen=True)
class Sampling:
    """One way to sample a model: a sampler, its name, its nodes, and how it is started.

    `grid` is what gave the nodes, for other numbers of steps.

    Raises:
        ValueError: if a stochastic sampler is to start at quantiles.
    """

    name: str
    sampler: Sampler
    grid_name: str
    nodes: Tensor
    at_quantiles: bool = False
    grid: Grid | None = None

    def __post_init__(self) -> None:
        if self.at_quantiles and not self.sampler.is_deterministic:
            raise ValueError(
                "evaluation.noise=quantiles needs a deterministic sampler, got "
                f"sampler={self.name}, which draws noise; choose one such as sampler=heun or "
                "dpmpp_2m, or evaluation.noise=random"
            )

    @property
    def num_steps(self) -> int | None:
        """N; none where the sampler chooses its own steps."""
        return None if self.sampler.adaptive else len(self.nodes) - 1


@final
@dataclass(frozen=True)
class Samples:
    """What one sampling gave.

    Attributes:
        points: in the data's units, (n, *shape), float64.
        nfe: network evaluations a sample.
        seconds: wall time.
        states: some samples on their way, in the data's units, (k, m, *shape).
        sigmas: their noise levels, (k,).
    """

    points: Tensor
    nfe: float
    seconds: float
    states: Tensor
    sigmas: Tensor


def whole_rows(shape: tuple[int, ...]) -> int:
    """Samples that are drawn in whole: a unit of the random numbers, and of a sampler's blocks."""
    return max(1024, unit_rows(shape))


def batch_rows(shape: tuple[int, ...]) -> int:
    """Samples in a batch: up to 16 units of the random numbers, and some 4 million numbers."""
    unit = whole_rows(shape)
    return min(16, max(1, 2**22 // (math.prod(shape) * unit))) * unit


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device, or the machine, has no more; torch has no class of its own for the CPU."""
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)


def shown_nodes(nodes: Tensor, sigma_data: float) -> list[int]:
    """The start, the end, and between them where the noise is about as large as the data."""
    targets = sigma_data * torch.logspace(0.75, -1, PATH_PANELS - 2, dtype=nodes.dtype)
    nearest = {int((nodes / target).log().abs().argmin()) for target in targets}
    return sorted(nearest | {0, len(nodes) - 1})


def draw_samples(
    model: Diffusion,
    sampling: Sampling,
    count: int,
    seed: int,
    batch_size: int | None = None,
    ranks: Ranks = ALONE,
    say: Callable[[str], None] = nobody,
) -> Samples:
    """Samples 0 to count of a run's seed, each rank drawing its share; the first one gets all.

    Args:
        model: the same in every rank.
        sampling: how.
        count: of all samples.
        seed: of the run.
        batch_size: samples at once; null: what is quick. It changes them by rounding alone.
        ranks: the processes that sample together.
        say: tells the user how far it is.
    Returns:
        all samples, in ranks other than the first their own.
    """
    nodes, randomness = sampling.nodes, Randomness(seed)
    evaluations, started = model.denoiser.evaluations, perf_counter()
    shown = shown_nodes(nodes, model.data.sigma_data)
    kept = min(PATH_POINTS, max(FEWEST_PATHS, PATH_NUMBERS // math.prod(model.data.shape)))
    states: list[Tensor] = []
    shape = model.data.shape
    rows, unit = batch_size or batch_rows(shape), whole_rows(shape)
    share = ranks.share(count, unit)
    parts = [torch.empty(0, *model.data.shape)]
    quantiles = count if sampling.at_quantiles else None
    total = math.ceil(len(share) / rows) * (len(nodes) - 1)
    steps = Steps(f"sampling {sampling.name}", total, say, is_shown=ranks.is_first)
    start = share.start
    while start < share.stop:

        def watch(i: int, y: Tensor, first: bool = start == share.start) -> None:
            SIGNALS.ask()
            steps.advance(int(i > 0))
            if first and i in shown:
                states.append(y[:kept].clone())  # A copy to the CPU would wait for it.

        SIGNALS.ask()
        stop, before = min(start + rows, share.stop), model.denoiser.evaluations
        try:
            drawn = model.sample(sampling.sampler, nodes, randomness, start, stop, watch, quantiles)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or stop - start == 1:
                raise
            rows, model.denoiser.evaluations = (stop - start) // 2, before
            if start == share.start:
                states.clear()
            warnings.warn(
                f"{stop - start} samples at once do not fit into memory; going on with {rows}; set "
                f"evaluation.batch_size={rows} to begin with them",
                stacklevel=2,
            )
        else:
            parts.append(drawn.cpu())
            start = stop
    steps.close()
    own = torch.tensor(model.denoiser.evaluations - evaluations, dtype=torch.float64)
    evaluated = float(ranks.total(own))
    points = model.data.to_data(ranks.joined(torch.cat(parts), count, unit))
    return Samples(
        points,
        evaluated / count,
        perf_counter() - started,
        model.data.to_data(torch.stack(states).cpu() if states else parts[0]),
        nodes[shown],
    )


def check_finite(samples: Samples, sampling: Sampling) -> None:
    """Refuse samples that cannot be measured.

    Raises:
        ValueError: if one of them is not finite.
    """
    bad = int((~torch.isfinite(samples.points.flatten(1))).any(1).sum())
    if bad:
        raise ValueError(
            f"{bad} of {len(samples.points)} samples are not finite with sampler={sampling.name}, "
            f"num_steps={sampling.num_steps}; use more steps or another sampler"
        )
