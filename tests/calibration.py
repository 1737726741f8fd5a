"""Standard errors that are claimed beside the spread that is there, near the data and far off.

The tables of docs/standard_errors.md, in minutes:

    OMP_NUM_THREADS=1 .venv/bin/python tests/calibration.py 1000        # what the metrics claim
    OMP_NUM_THREADS=1 .venv/bin/python tests/calibration.py 200 tried   # beside other ways
"""

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import final

import torch
from torch import Tensor

from fokker.metrics import (
    EnergyDistance,
    NearestNeighbourRatio,
    SlicedWasserstein2,
    Wasserstein1,
)
from fokker.metrics.blocks import NUM_HALVES, PARTS, OnParts
from fokker.metrics.coupling import coupling_cost

Distance = Wasserstein1 | SlicedWasserstein2 | EnergyDistance | NearestNeighbourRatio

#: How far what is claimed may be off, as a ratio.
LOW, HIGH = 0.85, 1.15


def _two_modes(g: Tensor) -> Tensor:
    """Quantiles of two narrow modes with nothing between them."""
    u = torch.special.ndtr(g)
    right = (u > 0.5).double()
    return 3 * right - 1.5 + 0.3 * torch.special.ndtri((2 * u - right).clamp(1e-12, 1 - 1e-12))


def _ring(g: Tensor) -> Tensor:
    """Eight modes on a circle; the first normal says which."""
    angle = torch.floor(8 * torch.special.ndtr(g[:, :1])) * (math.pi / 4)
    return torch.cat([angle.cos(), angle.sin()], dim=1) + 0.08 * g[:, 1:]


#: Laws as maps of normals, and of how many.
LAWS: Mapping[str, tuple[int, Callable[[Tensor], Tensor]]] = {
    "normal": (1, lambda g: g),
    "uniform": (1, lambda g: 2 * torch.special.ndtr(g) - 1),
    "two modes": (1, _two_modes),
    "ring of 8": (3, _ring),
    "64 elements": (64, lambda g: g / torch.arange(1, 65).sqrt()),
}
#: Shift in standard deviations, and scale, of the samples of run a and of run b.
REGIMES = {
    "near": ((0.0, 1.0), (0.0, 1.0)),
    "between": ((0.1, 1.02), (0.12, 1.03)),
    "poor": ((0.4, 1.2), (0.45, 1.25)),
    "near, poor": ((0.0, 1.0), (0.4, 1.2)),
}
METRICS: Mapping[str, Callable[[Tensor], Distance]] = {
    "w1": Wasserstein1,
    "sliced_w2": SlicedWasserstein2,
    "energy_distance": EnergyDistance,
    "nearest_neighbour_ratio": lambda y: NearestNeighbourRatio(y[::2], y[1::2]),
}


def _generator(*key: int) -> torch.Generator:
    return torch.Generator().manual_seed(sum(k * 10_007**i for i, k in enumerate(key)))


@cache
def _measured(metric: str, law: str, n: int) -> tuple[Distance, Tensor, Tensor]:
    """A metric, the reference that a run would have, and the reference's deviations."""
    count, draw = LAWS[law]
    if count == 1:
        # The law's quantiles.
        normals = torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)[:, None]
    else:
        normals = torch.randn(n, count, generator=_generator(0, n, 1), dtype=torch.float64)
    reference = draw(normals)
    return METRICS[metric](reference), reference, reference.std(dim=0)


def _pair(law: str, regime: str, n: int, run: int, std: Tensor) -> Iterator[Tensor]:
    """Samples of two models from the same numbers, each of n independent points."""
    count, draw = LAWS[law]
    g, z = torch.randn(2, n, count, generator=_generator(run, n), dtype=torch.float64)
    for normals, (shift, scale) in zip((g, 0.98 * g + 0.199 * z), REGIMES[regime], strict=True):
        moved = scale * draw(normals)
        moved[:, 0] += shift * std[0]
        yield moved


@final
@dataclass(frozen=True)
class Calibration:
    """Claimed over true spread: the root of the mean variance over the deviation between runs.

    Attributes:
        plain, paired: of a metric, and of a difference of two.
        noise: the relative deviation of the standard errors of the metric.
    """

    plain: float
    paired: float
    noise: float


def calibration(metric: str, law: str, regime: str, n: int, runs: int) -> Calibration:
    """Of `runs` independent pairs of n samples."""
    measure, _, std = _measured(metric, law, n)
    values, claimed = torch.zeros(2, runs, 2, dtype=torch.float64)
    for run in range(runs):
        found = []
        for samples in _pair(law, regime, n, run, std):
            measure.reset()
            measure.update(samples)
            found.append((float(measure.compute()), measure.on_parts()))
        (a, of_a), (b, of_b) = found
        values[run] = torch.tensor([a, b - a])
        errors = [of_a.standard_error(), (of_b - of_a).standard_error()]
        claimed[run] = torch.tensor(errors)
    plain, paired = (claimed.square().mean(dim=0).sqrt() / values.std(dim=0)).tolist()
    return Calibration(plain, paired, float(claimed[:, 0].std() / claimed[:, 0].mean()))


# Other ways ----------------------------------------------------------------------------------


def _subsets(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Which samples the other ways look at, by name: indices, (subsets, size)."""
    # Block j holds j, j + 16, ...; and of ten blocks j, j + 10, ....
    blocks, tenths = (torch.arange(n).view(-1, count).T for count in (16, 10))

    def rest(*left_out: int) -> Tensor:
        return tenths[[j for j in range(10) if j not in left_out]].flatten()

    def of(parts: Tensor) -> Tensor:
        return torch.stack([blocks[part].flatten() for part in parts])

    return {
        "all": torch.arange(n)[None],
        "without one": torch.stack([rest(j) for j in range(10)]),
        "without two": torch.stack([rest(j, k) for j in range(10) for k in range(j)]),
        "one": tenths,
        "again": torch.randint(n, (50, n), generator=generator),
        "halves": of(PARTS[:NUM_HALVES]),
        "quarters": of(PARTS[NUM_HALVES:]),
    }


def _on_line(metric: str, samples: Tensor, reference: Tensor) -> Tensor:
    """A metric of several sets of samples on the line, (sets, n) to (sets,)."""
    x, y = samples.sort(dim=1).values.contiguous(), reference.flatten().sort().values
    if metric == "w1":
        return coupling_cost(x, y, order=1)
    if metric == "sliced_w2":
        return coupling_cost(x, y, order=2).sqrt()
    # E|X - Y| of each sample, and E|X - X'| = 2 / n^2 sum_k (2k - n + 1) x_k of sorted ones.
    below = torch.searchsorted(y, x, right=True)
    sums = torch.cat([y.new_zeros(1), y.cumsum(dim=0)])
    between = (x * (2 * below - len(y)) + sums[-1] - 2 * sums[below]).mean(dim=1) / len(y)
    within, own = (
        z @ torch.arange(1 - z.shape[-1], z.shape[-1], 2).to(z) * 2 / z.shape[-1] ** 2
        for z in (x, y)
    )
    return (2 * between - within - own).clamp_min(0).sqrt()


def _claims(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Variances by all ways, from the metric (or a difference of two) of subsets."""
    one, two, full = values["without one"], values["without two"], values["all"]
    jackknife = 0.9 * float((one - one.mean()).square().sum())
    sums = torch.stack([one[j] + one[k] for j in range(10) for k in range(j)])
    second = 10 * full - 9 * sums + 8 * two
    excess = float((second - second.mean()).square().sum()) / 90
    halves, quarters = values["halves"].view(15, 2), values["quarters"].view(5, 4)
    of_halves = float(halves.diff(dim=1).square().mean()) / 4
    of_quarters = float(quarters.var(dim=1).mean()) / 4
    return {
        "jackknife": jackknife,
        "corrected": max(jackknife - excess, 0.0),
        "bootstrap": float(values["again"].var()),
        "ten blocks": float(values["one"].var()) / 10,
        "quarters": of_quarters,
        "halves": of_halves,
        "rate": of_halves * min(max(of_halves / of_quarters, 0.5), 2.0),
        "chosen": OnParts(halves, quarters, 1.0).standard_error() ** 2,
    }


def tried(metric: str, law: str, regime: str, n: int, runs: int) -> dict[str, list[float]]:
    """Claimed over true spread, plain and paired, by way; on the line, n a multiple of 80."""
    _, reference, std = _measured(metric, law, n)
    numbers, variances = [], []
    for run in range(runs):
        subsets, found = _subsets(n, _generator(run, n, 7)), []
        for samples in _pair(law, regime, n, run, std):
            sets = {name: samples[rows, 0] for name, rows in subsets.items()}
            found.append({name: _on_line(metric, x, reference) for name, x in sets.items()})
        a, b = found
        difference = {name: b[name] - a[name] for name in a}
        numbers.append([float(a["all"]), float(difference["all"])])
        variances.append([_claims(a), _claims(difference)])
    spread = torch.tensor(numbers, dtype=torch.float64).var(dim=0).tolist()
    return {
        name: [math.sqrt(sum(v[k][name] for v in variances) / runs / spread[k]) for k in (0, 1)]
        for name in variances[0][0]
    }


# Tables --------------------------------------------------------------------------------------

#: Metric, law, number of samples, and what part of the runs is enough of what takes long.
CASES = [
    *product(("w1", "sliced_w2", "energy_distance"), ("normal", "two modes"), (100,), (1.0,)),
    *product(("w1", "sliced_w2", "energy_distance"), ("normal", "two modes"), (1000,), (0.4,)),
    *product(("w1",), ("normal",), (20,), (1.0,)),
    *product(("w1",), ("normal",), (10_000,), (0.2,)),
    *product(("sliced_w2", "energy_distance"), ("ring of 8", "64 elements"), (100,), (0.4,)),
    *product(("energy_distance",), ("64 elements",), (1000,), (0.2,)),
    *product(("nearest_neighbour_ratio",), ("ring of 8",), (1000,), (0.2,)),
]
TRIED = [("w1", "normal"), ("energy_distance", "normal"), ("sliced_w2", "two modes")]


def main(runs: int) -> None:
    """Print what the metrics claim."""
    print(f"{'metric':24}{'law':12}{'n':>6}  {'samples':11}{'plain':>7}{'paired':>8}{'noise':>7}")
    for (metric, law, n, share), regime in product(CASES, REGIMES):
        found = calibration(metric, law, regime, n, round(runs * share))
        numbers = f"{found.plain:7.2f}{found.paired:8.2f}{found.noise:7.2f}"
        print(f"{metric:24}{law:12}{n:6d}  {regime:11}{numbers}", flush=True)


def main_tried(runs: int, n: int = 160) -> None:
    """Print what other ways claim."""
    for index, ((metric, law), regime) in enumerate(product(TRIED, REGIMES)):
        ways = tried(metric, law, regime, n, runs)
        if index == 0:
            print(
                f"{'metric':17}{'law':10}{'samples':11}{'':6}" + "".join(f"{w:>11}" for w in ways)
            )
        for k, what in enumerate(("plain", "paired")):
            numbers = "".join(f"{ratios[k]:11.2f}" for ratios in ways.values())
            print(f"{metric:17}{law:10}{regime:11}{what:6}{numbers}", flush=True)


if __name__ == "__main__":
    (main_tried if "tried" in sys.argv[2:] else main)(int(sys.argv[1]))
