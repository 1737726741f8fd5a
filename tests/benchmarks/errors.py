"""Error against evaluations, of fokker's samplers and of diffusers' schedulers.

Both sides are searched over the same grids from sigma = 80 to the same lowest levels, with the
ideal denoiser, in float64; evaluations are counted at the denoiser.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from schedulers import SCHEDULERS, Scheduler, walk
from side_by_side import Denoise, SideBySide
from torch import Tensor

import tiny_runs
from fokker.diffusion.denoiser import ExactDenoiser
from fokker.diffusion.formulations.start import eigenvalues
from fokker.diffusion.grids import IDDPM, EDMRho, Geometric, Grid, Spectral
from fokker.diffusion.likelihood import decode
from fokker.diffusion.samplers import (
    DDIM,
    Adams,
    DPMpp2M,
    DPMpp3M,
    Euler,
    GivenStart,
    Heun,
    Sampler,
    StartLaw,
)
from fokker.diffusion.samplers.gaussian import sampled_std
from fokker.diffusion.sde import EDM, SDE, VPCosine, VPLinear
from fokker.metrics import Wasserstein1

DATA = ("uniform", "mixture", "ring8")
NFE = (5, 6, 8, 10, 15, 20, 35, 50, 100)
POINTS = 256
HIGHEST, LOWEST = 80.0, (0.002, 0.01, 0.03)
#: Grids that both sides are searched over.
SHARED_GRIDS: dict[str, Grid] = {
    **{f"rho={r}, {s:g}": EDMRho(r, s, HIGHEST) for s in LOWEST for r in range(3, 11)},
    **{f"geometric, {s:g}": Geometric(s, HIGHEST) for s in LOWEST},
}
SDES: dict[str, SDE] = {
    "edm": EDM(),
    "vp_linear": VPLinear(sigma_min=min(LOWEST), sigma_max=HIGHEST),
    "vp_cosine": VPCosine(sigma_min=min(LOWEST), sigma_max=HIGHEST),
}


@final
@dataclass(frozen=True)
class Way:
    """A way to sample on any grid.

    Attributes:
        title: of it in the table.
        sample: given the denoiser and the nodes.
        steps: of the grid for so many evaluations.
        at_end: whether it stops at the lowest level above 0.
        sampler: of fokker's, whose SDE's range the grid may have; null: of diffusers.
    """

    title: str
    sample: Callable[[Denoise, Tensor], Tensor]
    steps: Callable[[int], int]
    at_end: bool = False
    sampler: Sampler | None = None

    @property
    def sde(self) -> SDE:
        return SDES["edm"] if self.sampler is None else self.sampler.sde


@final
@dataclass(frozen=True)
class Found:
    """A way on a grid: its evaluations and its error on the data that the grid is for."""

    way: str
    nfe: int
    errors: dict[str, float]


@final
class Problem:
    """Known data, starts at the highest noise, and where they should end.

    In one dimension starts are evenly spread quantiles, and the error is W1 to the data's law at
    the same quantiles; in more they are quasi-random, and it is the root mean square distance to
    the end of the exact flow, the ideal denoiser's ODE. There is no chance in either.
    """

    def __init__(self, data: str) -> None:
        made = tiny_runs.compose_experiment(f"data={data}", "network=exact").model.data
        law = made.model_law
        assert law is not None
        self.data, self.law, self._scale = made, law, made.scale
        u = (torch.arange(POINTS, dtype=torch.float64)[:, None] + 0.5) / POINTS
        if law.dim > 1:
            u = torch.quasirandom.SobolEngine(law.dim, True, 0).draw(POINTS, dtype=torch.float64)
        self.normal = torch.special.ndtri(u)
        if law.dim == 1:
            self._exact, self._w1 = None, Wasserstein1(law.quantile(u[:, 0])[:, None])
        else:
            low, start = 1e-3 * min(LOWEST), law.mean + HIGHEST * self.normal
            y = decode(ExactDenoiser(law), start, low, HIGHEST, 1e-8, 1e-8)
            self._exact = law.denoise(y, low)

    def error(self, samples: Tensor) -> float:
        """In the data's units."""
        if not samples.isfinite().all():
            return math.inf
        if self._exact is not None:
            square = (samples - self._exact).square().sum(1).mean()
            return self._scale * float(square.sqrt())
        self._w1.reset()
        self._w1.update(samples)
        return self._scale * float(self._w1.compute())


@final
class Problems:
    """Several, whose coordinates stand side by side in one state: no solver mixes coordinates."""

    def __init__(self) -> None:
        self._problems = {name: Problem(name) for name in DATA}
        self._laws = [problem.law for problem in self._problems.values()]
        self._dims = [law.dim for law in self._laws]
        normal = torch.cat([problem.normal for problem in self._problems.values()], dim=1)
        mean = torch.cat([law.mean for law in self._laws])
        self._noise, self._law = GivenStart(normal), StartLaw(mean, torch.ones_like(mean))
        self._start = mean + HIGHEST * normal
        self._together = SideBySide(self._denoise)
        self._rows = 0

    def _denoise(self, y: Tensor, sigma: Tensor) -> Tensor:
        self._rows += len(y)
        parts = zip(self._laws, y.split(self._dims, dim=1))
        return torch.cat([law.denoise(part, sigma) for law, part in parts], dim=1)

    def ours(self) -> list[Way]:
        """Every deterministic sampler; Euler's method and Heun's along other SDEs too."""

        def way(title: str, sampler: Sampler, evaluations: int = 1, at_end: bool = False) -> Way:
            def sample(denoise: Denoise, nodes: Tensor) -> Tensor:
                # A sampler's own last node is 0.
                nodes = torch.cat([nodes, nodes.new_zeros(1)]) if at_end else nodes
                return sampler(denoise, nodes, self._law, self._noise)

            return Way(title, sample, partial(_steps, evaluations), at_end, sampler)

        edm = SDES["edm"]
        found = [
            way("ddim", DDIM(edm)), way("dpmpp_2m", DPMpp2M(edm)), way("dpmpp_3m", DPMpp3M(edm)),
        ]  # fmt: skip
        for name, sde in SDES.items():
            found.append(way(f"euler, {name}", Euler(sde)))
            for alpha in (0.5, 2 / 3, 1.0):
                found.append(way(f"heun({alpha:.2g}), {name}", Heun(sde, alpha=alpha), 2))
        for stds in ([0.5], [0.5, 0.5], [0.5, 0.2], [0.5, 0.1], [0.5, 0.05]):
            title = f"adams({', '.join(f'{std:g}' for std in stds)})"
            for at_end in (False, True):
                sampler = Adams(edm, stds=stds, to_zero=not at_end)
                found.append(way(title, sampler, at_end=at_end))
        return found

    def own_grids(self, sampler: Sampler) -> dict[str, Grid]:
        """Ours alone, by title."""
        found: dict[str, Grid] = {
            f"iddpm, {low:g}": IDDPM(1000, sigma_min=low, sigma_max=HIGHEST) for low in LOWEST
        }
        for name, problem in self._problems.items():
            grid, sampled = Spectral(sigma_max=HIGHEST), partial(sampled_std, sampler)
            fitted = grid.fitted(lambda data=problem.data: eigenvalues(data), sampled)
            found[f"spectral for {name}"] = fitted
        return found

    def theirs(self) -> list[Way]:
        """Every scheduler."""

        def way(kind: Scheduler) -> Way:
            def sample(denoise: Denoise, nodes: Tensor) -> Tensor:
                return walk(kind, nodes, self._start, denoise)

            return Way(kind.title, sample, partial(_steps, kind.evaluations), not kind.to_zero)

        return [way(kind) for kind in SCHEDULERS]

    def search(self, ways: list[Way]) -> Iterator[Found]:
        """Every way on every grid from every lowest level, at every number of evaluations."""
        for way in ways:
            own = {} if way.sampler is None else self.own_grids(way.sampler)
            for nfe in NFE:
                nodes = _nodes(way, {**SHARED_GRIDS, **own}, nfe)
                before = self._rows
                ends = self._together.run([partial(_given, way, n) for n in nodes.values()])
                evaluations = (self._rows - before) // (POINTS * len(nodes))
                for name, end in zip(nodes, ends):
                    parts = zip(self._problems.items(), end.split(self._dims, dim=1))
                    errors = {
                        data: problem.error(part) for (data, problem), part in parts
                        if "spectral" not in name or f"for {data}" in name
                    }  # fmt: skip
                    yield Found(f"{way.title}, {name}", evaluations, errors)


def _steps(evaluations: int, nfe: int) -> int:
    """Of a solver whose last step has one evaluation."""
    return (nfe + evaluations - 1) // evaluations


def _given(way: Way, nodes: Tensor, denoise: Denoise) -> Tensor:
    return way.sample(denoise, nodes)


def _nodes(way: Way, grids: dict[str, Grid], nfe: int) -> dict[str, Tensor]:
    found = {}
    for title, grid in grids.items():
        # Where it stops above 0 there is one level more, at which nothing is evaluated.
        nodes = grid(way.steps(nfe) + way.at_end, way.sde)
        found[f"{title}{' at end' * way.at_end}"] = nodes[:-1] if way.at_end else nodes
    return found


def best(found: list[Found], data: str, nfe: int) -> Found:
    """With at most so many evaluations."""
    tried = [one for one in found if one.nfe <= nfe and data in one.errors]
    return min(tried, key=lambda one: one.errors[data])


def print_errors(limit: float) -> None:
    """A row a number of evaluations of each data."""
    problems = Problems()
    ours, theirs = (list(problems.search(w)) for w in (problems.ours(), problems.theirs()))
    print("| data | NFE | fokker | error | diffusers | error | ratio | at most |")
    print("|---|---|---|---|---|---|---|---|")
    for data in DATA:
        for nfe in NFE:
            one, other = best(ours, data, nfe), best(theirs, data, nfe)
            error, baseline = one.errors[data], other.errors[data]
            print(f"| {data} | {nfe} | {one.way} | {error:.3g} | {other.way} | {baseline:.3g} |"
                  f" {error / baseline:.2f} | {limit} |", flush=True)  # fmt: skip
