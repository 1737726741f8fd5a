"""The errors of simulated marginals in one dimension against the exact p_t."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from fokker.diffusion.analysis.fokker_planck import log_sigma_times, marginals, solve_forward
from fokker.diffusion.analysis.generator import Cells
from fokker.diffusion.analysis.processes import Forward, Process, Reverse, denoiser_score
from fokker.diffusion.denoiser import DenoiserFunction
from fokker.diffusion.sde import SDE, VPOrnsteinUhlenbeck
from fokker.distributions import Affine, Distribution, Gaussian
from fokker.randomness import Randomness

NUM_CELLS = 1600
# The share of the data that is cut off on each side to find the width of the cells.
TAIL = 1e-8
# The fewest cells in a standard deviation of noise with which the solver resolves the density.
CELLS_PER_SIGMA = 3
STEPS_PER_E_FOLD = 25
# Walls with more than this mass of a density near them have shaped it.
AT_THE_WALLS = 1e-3


def relative_w1(law: Distribution, points: Tensor, sigma: float) -> float:
    """Return `W1(points, p(.; sigma)) / std(p)`, by quantiles, for points y of shape (n,)."""
    ordered = points.double().sort().values
    u = (torch.arange(len(ordered), dtype=torch.float64) + 0.5) / len(ordered)
    distance = (ordered - law.quantile(u, sigma)).abs().mean()
    return float(distance) / _std(law, sigma)


def sampling_noise(law: Distribution, count: int, sigma: float) -> float:
    """Return the expectation of `relative_w1` for `count` exact points.

    It is `sqrt(2 / (pi n)) int sqrt(F (1 - F)) dx / std`, for large n.
    """
    u = (torch.arange(4096, dtype=torch.float64) + 0.5) / 4096
    q = law.quantile(u, sigma)
    between = (u[1:] + u[:-1]) / 2
    integral = float(((between * (1 - between)).sqrt() * q.diff()).sum())
    return math.sqrt(2 / (math.pi * count)) * integral / _std(law, sigma)


def forward_errors(
    law: Distribution, sde: SDE, sigmas: Tensor, count: int, randomness: Randomness
) -> list[float]:
    """Return `relative_w1` of an Euler-Maruyama simulation of the SDE at each level.

    It starts at exact points of the lowest level, and takes 25 steps for each factor e of sigma.

    Args:
        law: the law of the data.
        sde: the SDE, simulated in its own x_t and t.
        sigmas: the noise levels, ascending, (b,).
        count: the number of points.
        randomness: the random numbers of the points and steps; stream validation.
    """
    u = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    shuffled = u[randomness.permutation("validation", count)]
    x = law.quantile(shuffled, float(sigmas[0])) * sde.scale(sde.time(sigmas[0]))
    errors, step = [relative_w1(law, x / sde.scale(sde.time(sigmas[0])), float(sigmas[0]))], 0
    for low, high in zip(sigmas.tolist(), sigmas[1:].tolist(), strict=False):
        times = _refined(sde, low, high)
        for t, h in zip(times.tolist(), times.diff().tolist(), strict=False):
            noise = randomness.normal("validation", 0, count, (), step).double()
            x = x + h * sde.drift(t) * x + math.sqrt(h) * sde.diffusion(t) * noise
            step += 1
        errors.append(relative_w1(law, x / sde.scale(times[-1]), high))
    return errors


@final
@dataclass(frozen=True)
class SolvedErrors:
    """`W1 / std` of solutions of the Fokker-Planck equation to p(.; sigma), without sampling noise.

    They are NaN at levels for which the cells are too wide, and where the solution has reached the
    walls.

    Attributes:
        forward: the errors of the solution that starts at the data's law at the lowest level.
        backward: the errors of the solution that starts at the prior at the highest level, along
            the reverse SDE with a model's score.
    """

    forward: list[float]
    backward: list[float]


def solved_errors(
    law: Distribution, denoiser: DenoiserFunction, prior: Gaussian, sigmas: Tensor
) -> SolvedErrors:
    """Solve the Fokker-Planck equation forward, and backward with the score of a denoiser.

    In y = x/s the reverse SDE is the same for every SDE, so the equation is solved in the scale of
    the Ornstein-Uhlenbeck SDE, in which densities keep a width of about 1 at all levels, and for
    data of mean 0 and standard deviation 1/2.

    Args:
        law: the law of the data.
        denoiser: D(y; sigma), of y (n, 1).
        prior: the law of y at the highest level.
        sigmas: the noise levels, ascending, (b,).
    """
    centre, unit = float(law.mean), 2 * _std(law, 0.0)
    law, sigmas = Affine(law, centre, unit), sigmas / unit
    prior = Gaussian((prior.mean - centre) / unit, prior.std / unit)

    def centred(x: Tensor, sigma: Tensor) -> Tensor:
        return (denoiser(centre + unit * x, unit * sigma) - centre) / unit

    tails = law.quantile(torch.tensor([TAIL, 1 - TAIL], dtype=torch.float64))
    reach = max(float(tails.abs().max()), 1.0)
    # Noise is s sigma < 1 and data are s x: the cells hold both tails, and more for a wrong score.
    cells = Cells(-reach - 7, reach + 7, NUM_CELLS)
    solvable = sigmas >= CELLS_PER_SIGMA * cells.width
    levels = sigmas[solvable]
    missing = [math.nan] * int((~solvable).sum())
    if len(levels) < 2:
        return SolvedErrors([math.nan] * len(sigmas), [math.nan] * len(sigmas))
    sde = VPOrnsteinUhlenbeck(float(levels[0]), float(levels[-1]))
    parts = [
        _refined(sde, low, high)[:-1]
        for low, high in zip(levels.tolist(), levels[1:].tolist(), strict=False)
    ]
    places = torch.tensor([0, *(len(part) for part in parts)]).cumsum(0)
    times = torch.cat([*parts, sde.time(levels[-1:])])
    exact = marginals(law, sde, sde.time(levels), cells)
    s = float(sde.scale(times[-1]))
    start = Gaussian(s * prior.mean, s * prior.std).cdf(cells.faces).diff() / cells.width

    def errors(process: Process, density: Tensor, nodes: Tensor) -> list[float]:
        solution = solve_forward(process, cells, density / (density.sum() * cells.width), nodes)
        densities = solution.densities
        rows = (densities.flip(0) if process.reversed else densities)[places]
        gaps = (rows - exact).cumsum(1).abs().sum(1) * cells.width**2
        edge = NUM_CELLS // 100
        walled = (rows[:, :edge].sum(1) + rows[:, -edge:].sum(1)) * cells.width > AT_THE_WALLS
        stds = torch.tensor([_std(law, sigma) for sigma in levels.tolist()])
        relative = gaps / (sde.scale(sde.time(levels)) * stds)
        found: list[float] = relative.where(~walled, math.nan).tolist()
        return found

    backward = Reverse(sde, denoiser_score(sde, centred))
    return SolvedErrors(
        missing + errors(Forward(sde), exact[0], times),
        missing + errors(backward, start, times.flip(0)),
    )


def _refined(sde: SDE, low: float, high: float) -> Tensor:
    """Return times from sigma = low to high, even in ln sigma."""
    steps = math.ceil(STEPS_PER_E_FOLD * math.log(high / low))
    return log_sigma_times(sde, max(1, steps), low, high)


def _std(law: Distribution, sigma: float) -> float:
    return math.sqrt(float(law.variance[0]) + sigma**2)
