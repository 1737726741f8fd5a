"""The drawing of a run's samples."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import final

import torch
from torch import Tensor

from fokker.formulation import Drawn, Way
from fokker.machine.device import is_out_of_memory
from fokker.machine.progress import Steps, nobody
from fokker.machine.ranks import ALONE, Ranks
from fokker.machine.signals import SIGNALS
from fokker.randomness import Randomness, unit_rows

PATH_POINTS = 4000
# The most numbers and the fewest samples of a state that are kept: large images are few.
PATH_NUMBERS, FEWEST_PATHS = 2**22, 8


@final
@dataclass(frozen=True)
class Samples:
    """The result of one sampling.

    Attributes:
        points: the samples in the data's units, (n, *shape), float64.
        nfe: the number of network evaluations a sample.
        seconds: the wall time.
        states: some samples at k places from noise to data, in the data's units, (k, m, *shape).
        places: the places of these states on the formulation's axis, (k,).
    """

    points: Tensor
    nfe: float
    seconds: float
    states: Tensor
    places: Tensor


def whole_rows(shape: tuple[int, ...]) -> int:
    """Return the number of samples in a unit of the random numbers and of a sampler's blocks."""
    return max(1024, unit_rows(shape))


def batch_rows(shape: tuple[int, ...]) -> int:
    """Return the number of samples in a batch: up to 16 units, and some 4 million numbers."""
    unit = whole_rows(shape)
    return min(16, max(1, 2**22 // (math.prod(shape) * unit))) * unit


def draw_samples(
    way: Way,
    count: int,
    seed: int,
    batch_size: int | None = None,
    ranks: Ranks = ALONE,
    say: Callable[[str], None] = nobody,
) -> Samples:
    """Draw samples 0 to count of a run's seed; each rank draws its share, and the first gets all.

    Args:
        way: the way to sample, with the same model in every rank.
        count: the number of all samples.
        seed: the seed of the run.
        batch_size: the samples at once; null: a quick number. It changes them by rounding only.
        ranks: the ranks that sample together.
        say: a callable that tells the user the progress.
    Returns:
        All samples; in ranks other than the first, their own.
    """
    randomness, target, shown = Randomness(seed), way.target, list(way.shown)
    started = perf_counter()
    rows = _whole(batch_size or batch_rows(target.shape), way.group)
    unit = math.lcm(whole_rows(target.shape), way.group)
    share = ranks.share(count, unit)
    num_steps = math.ceil(len(share) / rows) * (len(way.places) - 1)
    steps = Steps(f"sampling {way.name}", num_steps, say, is_shown=ranks.is_first)
    states, parts = list[Tensor](), [torch.empty(0, *target.shape)]
    start, evaluations = share.start, 0
    while start < share.stop:

        def watch(i: int, y: Tensor, first: bool = start == share.start) -> None:
            SIGNALS.ask()
            steps.advance(int(i > 0))
            if first and i in shown:
                states.append(y[: _paths(y)].clone())  # A copy to the CPU would wait.

        SIGNALS.ask()
        stop = min(start + rows, share.stop)
        try:
            drawn = way.sample(randomness, start, stop, count, watch)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or stop - start <= way.group:
                raise
            rows = _fewer(stop - start, way.group)
            if start == share.start:
                states.clear()
        else:
            _check_drawn(drawn, way, stop - start)
            parts.append(drawn.x.cpu())
            start, evaluations = stop, evaluations + drawn.evaluations
    steps.close()
    own = torch.cat(parts[1:] or parts)
    return Samples(
        target.to_data(ranks.joined(own, count, unit)),
        float(ranks.total(torch.tensor(evaluations, dtype=torch.float64))) / count,
        perf_counter() - started,
        target.to_data(torch.stack(states).cpu() if states else own),
        torch.tensor([way.places[i] for i in shown], dtype=torch.float64),
    )


def _paths(state: Tensor) -> int:
    """Return how many samples' paths are kept, of states (n, *shape)."""
    return min(PATH_POINTS, max(FEWEST_PATHS, PATH_NUMBERS // math.prod(state.shape[1:])))


def _fewer(rows: int, group: int) -> int:
    """Return half as many rows at once, with a warning that so many do not fit into memory."""
    half = _whole(rows // 2, group)
    warnings.warn(
        f"{rows} samples at once do not fit into memory; going on with {half}; set "
        f"evaluation.batch_size={half} to begin with them",
        stacklevel=3,
    )
    return half


def _check_drawn(drawn: object, way: Way, count: int) -> None:
    """Refuse samples of a user's own way that are not as asked for."""
    expected = (count, *way.target.shape)
    found = tuple(drawn.x.shape) if isinstance(drawn, Drawn) else type(drawn).__name__
    if found != expected:
        raise ValueError(
            f"{type(way).__name__}.sample must give Drawn(x, evaluations) with x of the shape "
            f"{expected}, got {found}"
        )


def _whole(rows: int, group: int) -> int:
    """Return the number of rows in whole groups, at most `rows`, but at least one group."""
    return max(group, rows - rows % group)


def check_finite(samples: Samples, way: Way) -> None:
    """Refuse samples that are not finite, for they cannot be measured.

    Raises:
        ValueError: if one of them is not finite.
    """
    bad = int((~torch.isfinite(samples.points.flatten(1))).any(1).sum())
    if bad:
        first = next(iter(way.labels))
        parts = [f"{group}={label}" for group, label in way.labels.items()]
        steps = [] if way.num_steps is None else [f"num_steps={way.num_steps}"]
        raise ValueError(
            f"{bad} of {len(samples.points)} samples are not finite with "
            f"{', '.join([parts[0], *steps, *parts[1:]])}; use "
            f"{'more steps or ' if steps else ''}another {first}"
        )
