"""What all formulations share: the loss and sampling."""

import math
import warnings
from abc import ABC
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from fokker.data import DataModule
from fokker.denoiser import Denoiser, ExactDenoiser
from fokker.device import moved
from fokker.formulation import Batch, Draws, Formulation, Losses
from fokker.formulations.making import made_network
from fokker.grids import Grid
from fokker.grids import Levels as LevelsGrid
from fokker.networks import Exact
from fokker.noise_levels import NoiseLevels
from fokker.preconditioning import Preconditioning
from fokker.randomness import Randomness, SamplingNoise
from fokker.samplers import GivenStart, Noise, Sampler, sampled_std, spread_quantiles
from fokker.weighting import Weighting


class Diffusion(Formulation, ABC):
    """A denoiser trained on `lambda(sigma) |D(x0 + sigma n; sigma) - x0|^2 / d`.

    A formulation is a choice of parts; its file says what its paper's loss is and what only it
    has, such as a chain of levels.

    Args:
        data: what is trained on.
        network: makes F from `shape` and `c_noise_range`; or `Exact`, with no training.
        preconditioning, weighting, noise_levels: the parts.
        seed: of all random numbers of the training.
        levels: the formulation's own chain, ascending, (L,), if it has one.
    Raises:
        ValueError: if two parts do not fit together.
    """

    parts: ClassVar[tuple[str, ...]] = (
        "formulation", "preconditioning", "weighting", "noise_levels", "network",
    )  # fmt: skip
    level_name = "sigma"

    def __init__(
        self,
        data: DataModule,
        network: Callable[..., nn.Module] | Exact,
        preconditioning: Preconditioning,
        weighting: Weighting,
        noise_levels: NoiseLevels,
        seed: int,
        levels: Tensor | None = None,
    ) -> None:
        super().__init__(data, seed)
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
        """Whether the denoiser is the data's ideal one, which is not trained."""
        return isinstance(self.denoiser, ExactDenoiser)

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
        """The noise levels at which the denoiser is good for use."""
        return (0.0, math.inf) if self.is_exact else self.noise_levels.usual_range

    # ---- the loss ------------------------------------------------------------------------

    def denoising_error(self, x0: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
        """`|D(x0 + sigma n; sigma) - x0|^2 / d` of each sample, (n,).

        Args:
            x0: data in the model's units, (n, *shape).
            sigma: noise levels, (n,), float64, on the CPU.
            noise: n ~ N(0, I), (n, *shape).
        """
        level = moved(sigma.to(x0.dtype), x0.device).reshape(-1, *[1] * (x0.dim() - 1))
        denoised = self.denoiser(torch.addcmul(x0, level, noise), sigma)
        error: Tensor = (denoised - x0).square().flatten(1).mean(1)
        return error

    def loss(self, x0: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
        """`lambda(sigma)` times the denoising error, of each sample, (n,)."""
        weight = self.weighting(sigma, self.noise_levels).to(x0.dtype)
        return moved(weight, x0.device) * self.denoising_error(x0, sigma, noise)

    # ---- training ------------------------------------------------------------------------

    @property
    def network(self) -> nn.Module:
        """The denoiser, of whose weights there are averages; not the weighting's."""
        return self.denoiser

    def prepared(self, dtype: torch.dtype | None, compile: bool) -> AbstractContextManager[None]:
        if isinstance(self.denoiser, ExactDenoiser):
            return nullcontext()
        return self.denoiser.prepared(dtype, compile)

    def draws(self, step: int, rows: range, batch: Batch) -> Draws:
        """Draw sigma and noise of a batch's rows, functions of (seed, step) and the rows alone.

        Noise levels are spread over the whole batch. They stay on the CPU, where coefficients and
        weights are computed from them in float64.
        """
        size = self.data.batch_size
        start, stop = step * size + rows.start, step * size + rows.stop
        levels = self.noise_levels.draw(self.randomness, step, size)[rows.start : rows.stop]
        noise = self.randomness.normal("noise", start, stop, self.data.shape)
        return Draws(
            Batch(moved(batch.x, self.device)), levels, {"noise": moved(noise, self.device)}
        )

    def losses(self, draws: Draws) -> Losses:
        loss = self.loss(draws.batch.x, draws.level, draws.random["noise"])
        return Losses(loss, self.weighting.objective(loss, draws.level))

    # ---- sampling ------------------------------------------------------------------------

    def nodes(self, sampler: Sampler, grid: Grid, num_steps: int) -> Tensor:
        """The grid's nodes for this model and sampler, (num_steps + 1,).

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
        fitted = grid.fitted(lambda: self.data.eigenvalues, sampled)
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

    @torch.no_grad()
    def sample(
        self,
        sampler: Sampler,
        nodes: Tensor,
        randomness: Randomness,
        start: int,
        stop: int,
        watch: Callable[[int, Tensor], None] | None = None,
        quantiles: int | None = None,
    ) -> Tensor:
        """Samples start to stop of a run, in the model's units, (stop - start, *shape).

        Args:
            sampler: the solver.
            nodes: from `nodes`.
            randomness: of the run's seed.
            start, stop: the samples' numbers; each depends on its own alone.
            watch: called with i and the state y at each node.
            quantiles: start at so many evenly spread quantiles of the prior, in one dimension and
                with a deterministic sampler; null: at random.
        """
        shape = self.data.shape
        noise: Noise
        if quantiles is None:
            noise = SamplingNoise(randomness, start, stop, shape, len(nodes) - 1, self.device)
        else:
            u = spread_quantiles(start, stop, quantiles)
            normal = torch.special.ndtri(u).reshape(-1, *shape)
            noise = GivenStart(moved(normal, self.device))
        return sampler(self.denoiser, nodes, self.data.start_law, noise, watch)
