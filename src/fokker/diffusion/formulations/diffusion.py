"""The base of formulations with Gaussian noise: the loss, training and sampling."""

import math
import warnings
from abc import ABC
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, partial
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from fokker.data import StandardizedData
from fokker.diffusion.analysis.budget_report import TERMS, budget_report, no_budget
from fokker.diffusion.analysis.errors_by_steps import errors_by_steps
from fokker.diffusion.analysis.floors import Floors
from fokker.diffusion.analysis.validation import AXIS, SIGMAS, validation
from fokker.diffusion.denoiser import Denoiser, ExactDenoiser
from fokker.diffusion.exact import Exact
from fokker.diffusion.formulations.groups import Groups
from fokker.diffusion.formulations.making import made_network
from fokker.diffusion.formulations.start import eigenvalues, standardized, start_law
from fokker.diffusion.formulations.way import SamplerWay
from fokker.diffusion.grids import Grid
from fokker.diffusion.grids import Levels as LevelsGrid
from fokker.diffusion.measures import measures_named
from fokker.diffusion.noise_levels import NoiseLevels
from fokker.diffusion.preconditioning import Preconditioning
from fokker.diffusion.samplers import Sampler, StartLaw, sampled_std
from fokker.diffusion.weighting import Weighting
from fokker.formulation import (
    Asked,
    Batch,
    Draws,
    Formulation,
    Losses,
    Report,
    Truth,
    Validation,
    Way,
)  # fmt: skip
from fokker.machine.device import moved
from fokker.machine.ranks import ALONE, Ranks
from fokker.measures import Measure


class Diffusion(Formulation, ABC):
    """A denoiser trained on `lambda(sigma) |D(x0 + sigma n; sigma) - x0|^2 / d`.

    A formulation is a choice of parts; its file gives its paper's loss and what only it has, such
    as a chain of levels.

    Args:
        data: the data to train on.
        network: a callable that makes F from `shape` and `c_noise_range`; or `Exact`, which is not
            trained.
        preconditioning, weighting, noise_levels: the parts.
        seed: the seed of all random numbers of the training.
        levels: the formulation's own chain, ascending, (L,), if it has one.
    Raises:
        ValueError: if the data are not standardised, or two parts do not fit together.
    """

    data: StandardizedData

    axis = AXIS
    parts: ClassVar[Sequence[str]] = (
        "formulation", "preconditioning", "weighting", "noise_levels", "network",
    )  # fmt: skip
    # A training that goes on may change its loss, but not the meaning of the network's outputs.
    kept: ClassVar[Sequence[str] | None] = ("formulation", "preconditioning", "network")
    asked: ClassVar[Sequence[str]] = ("sampler", "grid")
    groups: ClassVar[type | None] = Groups
    given: ClassVar[Mapping[str, Sequence[str]]] = {"network": ("shape", "c_noise_range")}
    # Not in the samplers' files: `+sde@sampler.sde=edm` would be merged into the other SDE.
    inherited: ClassVar[Mapping[str, str]] = {"sampler.sde": "${sde}"}
    untrained: ClassVar[str] = "ideal denoiser"

    def __init__(
        self,
        data: StandardizedData,
        network: Callable[..., nn.Module] | Exact,
        preconditioning: Preconditioning,
        weighting: Weighting,
        noise_levels: NoiseLevels,
        seed: int,
        levels: Tensor | None = None,
    ) -> None:
        super().__init__(standardized(data, type(self).__name__), seed)
        self.denoiser: Denoiser | ExactDenoiser
        if isinstance(network, Exact):
            self.denoiser = network(data.model_law)
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.randomness.generator("init").initial_seed())
                made = made_network(network, data.shape, preconditioning.c_noise_range)
            self.denoiser = Denoiser(made, preconditioning)
        self.weighting = weighting
        self.noise_levels = noise_levels.on(levels)
        self.levels = levels
        if not self.is_exact:
            self._warn_of_rare_noise()

    @property
    def is_exact(self) -> bool:
        """Tell whether the denoiser is the data's ideal one, which is not trained."""
        return isinstance(self.denoiser, ExactDenoiser)

    @property
    def start_law(self) -> StartLaw:
        """Return mean and variance of each element of the data, in the model's units."""
        return start_law(self.data)

    @property
    def eigenvalues(self) -> Tensor:
        """Return the ascending eigenvalues of the data's covariance, (d,), in the model's units."""
        return eigenvalues(self.data)

    def _warn_of_rare_noise(self) -> None:
        share = self.weighting.effective_share(self.noise_levels)
        if share < 0.05:
            warnings.warn(
                f"only {share:.1%} of the training noise counts under this weighting, an integral "
                "over the SDE's time; choose noise_levels=log_uniform or uniform_time",
                stacklevel=3,
            )

    @property
    def usual_range(self) -> tuple[float, float]:
        """Return the lowest and highest noise level at which the denoiser is good for use."""
        return (0.0, math.inf) if self.is_exact else self.noise_levels.usual_range

    # ---- the loss ------------------------------------------------------------------------

    def denoising_error(self, x0: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
        """Return `|D(x0 + sigma n; sigma) - x0|^2 / d` of each sample, (n,).

        Args:
            x0: the data in the model's units, (n, *shape).
            sigma: the noise levels, (n,), float64, on the CPU.
            noise: n ~ N(0, I), (n, *shape).
        """
        level = moved(sigma.to(x0.dtype), x0.device).reshape(-1, *[1] * (x0.dim() - 1))
        denoised = self.denoiser(torch.addcmul(x0, level, noise), sigma)
        error: Tensor = (denoised - x0).square().flatten(1).mean(1)
        return error

    def loss(self, x0: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
        """Return `lambda(sigma)` times the denoising error, of each sample, (n,)."""
        weight = self.weighting(sigma, self.noise_levels).to(x0.dtype)
        return moved(weight, x0.device) * self.denoising_error(x0, sigma, noise)

    # ---- training ------------------------------------------------------------------------

    @property
    def network(self) -> nn.Module:
        """Return the denoiser, whose weights are averaged; those of the weighting are not."""
        return self.denoiser

    def prepared(self, dtype: torch.dtype | None, compile: bool) -> AbstractContextManager[None]:
        if isinstance(self.denoiser, ExactDenoiser):
            return nullcontext()
        return self.denoiser.prepared(dtype, compile)

    def draws(self, step: int, rows: range, batch: Batch) -> Draws:
        """Draw sigma and noise of a batch's rows, which depend only on (seed, step) and the rows.

        Noise levels are spread over the whole batch. They stay on the CPU, where coefficients and
        weights are computed from them in float64.
        """
        size = self.data.batch_size
        start, stop = step * size + rows.start, step * size + rows.stop
        levels = self.noise_levels.draw(self.randomness, step, size)[rows.start : rows.stop]
        noise = self.randomness.normal("noise", start, stop, self.data.shape)
        return Draws(batch.to(self.device), levels, {"noise": moved(noise, self.device)})

    def losses(self, draws: Draws) -> Losses:
        loss = self.loss(draws.batch.x, draws.level, draws.random["noise"])
        return Losses(loss, self.weighting.objective(loss, draws.level))

    # ---- sampling ------------------------------------------------------------------------

    def nodes(self, sampler: Sampler, grid: Grid, num_steps: int) -> Tensor:
        """Return the grid points for this model and sampler, (num_steps + 1,).

        Raises:
            ValueError: if the three do not fit together.
        """
        if sampler.needs_levels and (self.levels is None or not isinstance(grid, LevelsGrid)):
            raise ValueError(
                "sampler=annealed_langevin walks the levels that a model was trained on; choose "
                "grid=levels and formulation=smld or ddpm, or another sampler"
            )
        trained = (0.0, math.inf) if self.is_exact else self.noise_levels.range
        sampled = None if sampler.adaptive else partial(sampled_std, sampler)
        fitted = grid.fitted(lambda: self.eigenvalues, sampled)
        nodes = fitted(num_steps, sampler.sde, trained, self.levels)
        low, high = self.usual_range
        lowest, highest = float(nodes[-2]), float(nodes[0])
        if lowest < low / 1.1 or highest > high * 1.1:
            warnings.warn(
                f"the grid goes from sigma {highest:.4g} to {lowest:.4g}, and noise outside "
                f"{low:.4g} to {high:.4g} was hardly trained; see grid.sigma_min, grid.sigma_max",
                stacklevel=2,
            )
        return nodes

    def way(self, asked: Asked) -> SamplerWay:
        sampler, grid = asked.parts["sampler"], asked.parts["grid"]
        if not isinstance(sampler, Sampler) or not isinstance(grid, Grid):
            raise ValueError(
                f"sampler and grid must be such, got {type(sampler).__name__} and "
                f"{type(grid).__name__}; choose options of these groups"
            )
        if asked.start == "quantiles" and math.prod(self.data.shape) != 1:
            raise ValueError(
                "evaluation.noise=quantiles needs data in one dimension, got samples of shape "
                f"{self.data.shape}; use evaluation.noise=random"
            )
        return SamplerWay(
            labels=asked.labels,
            target=self.data,
            is_random=asked.start == "random",
            model=self,
            sampler=sampler,
            nodes=self.nodes(sampler, grid, sampler.num_steps),
            fitted=partial(self.nodes, sampler, grid),
        )

    def described(self) -> Mapping[str, Any]:
        """Add the range of c_noise that the network is made for, and the chain of levels."""
        found = dict(super().described())
        if isinstance(self.denoiser, Denoiser):
            range_ = list(self.denoiser.preconditioning.c_noise_range)
            found["network"] = {**found["network"], "c_noise_range": range_}
        return {**found, "levels": None if self.levels is None else self.levels.tolist()}

    # ---- what is measured ----------------------------------------------------------------

    @cached_property
    def _floors(self) -> Floors | None:
        law = self.data.model_law
        return None if law is None else Floors(law, SIGMAS)

    def validation(self, ranks: Ranks = ALONE) -> Validation:
        return validation(self, self._floors, ranks)

    def truth(self, ranks: Ranks = ALONE) -> Truth | None:
        if self._floors is None:
            return None
        floor = self._floors.total(self)
        return Truth(floor.value, floor.standard_error)

    def measures(self, way: Way, points: int | None) -> Mapping[str, Measure]:
        names = [*way.exact(), "held_out_loss", "denoising_error"]
        if self.data.model_law is not None:
            names += ["loss", "floor", "excess"]
            names += ["relative_excess"] if self.data.fresh else []
        has_budget = isinstance(way, SamplerWay) and not no_budget(self, way.sampler, way.name)
        if points != 0 and has_budget:
            names += [f"error_{term}" for term in TERMS]
        return measures_named(names)

    def figures(self, rows: Sequence[Mapping[str, object]]) -> Mapping[str, Callable[[], Figure]]:
        """Draw the exact errors against the number of steps, where several were computed."""
        if len(rows) < 2 or not any("w2" in row for row in rows):
            return {}
        return {"gaussian_errors": lambda: _errors_figure(rows, self.data.unit_label)}

    def reports(
        self, way: Way, points: int | None, num_samples: int, seed: int
    ) -> Iterator[Report | str]:
        """Report the error budget, where there can be one."""
        if points == 0 or not isinstance(way, SamplerWay):
            return
        if why_not := no_budget(self, way.sampler, way.name):
            if self.data.fresh:
                yield f"no error budget: {why_not}"
            return
        yield budget_report(self, way.sampler, way.nodes, way.name, points, num_samples, seed)


def _errors_figure(rows: Sequence[Mapping[str, object]], units: str) -> Figure:
    from fokker.figures import gaussian_errors

    return gaussian_errors(*errors_by_steps(rows), units)
