"""What all formulations share: the loss, the training step and sampling."""

import math
import warnings
from abc import ABC
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.strategies import ParallelStrategy, SingleDeviceStrategy
from torch import Tensor, nn

from fokker.data import DataModule
from fokker.denoiser import Denoiser, ExactDenoiser
from fokker.device import moved
from fokker.ema import EMA
from fokker.formulations.descent import Descent
from fokker.formulations.divergence import diverged
from fokker.formulations.draws import Draws, DrawsAhead, NetworkNoise
from fokker.formulations.making import made_network
from fokker.formulations.sharding import one_by_one, shard
from fokker.grids import Grid
from fokker.grids import Levels as LevelsGrid
from fokker.networks import Exact
from fokker.noise_levels import NoiseLevels
from fokker.optimizers import Schedule
from fokker.places import one_line
from fokker.preconditioning import Preconditioning
from fokker.randomness import Randomness, SamplingNoise
from fokker.samplers import GivenStart, Noise, Sampler, sampled_std, spread_quantiles
from fokker.weighting import Weighting


class Diffusion(L.LightningModule, ABC):
    """A denoiser trained on `lambda(sigma) |D(x0 + sigma n; sigma) - x0|^2 / d`.

    A formulation is a choice of parts; its file says what its paper's loss is and what only it
    has, such as a chain of levels.

    Args:
        data: what is trained on.
        network: makes F from `shape` and `c_noise_range`; or `Exact`, with no training.
        preconditioning, weighting, noise_levels, optimizer, ema: the parts.
        seed: of all random numbers of the training.
        levels: the formulation's own chain, ascending, (L,), if it has one.
    Raises:
        ValueError: if two parts do not fit together.
    """

    _draws: DrawsAhead
    _network_noise: NetworkNoise

    def __init__(
        self,
        data: DataModule,
        network: Callable[..., nn.Module] | Exact,
        preconditioning: Preconditioning,
        weighting: Weighting,
        noise_levels: NoiseLevels,
        optimizer: Schedule,
        ema: EMA,
        seed: int,
        levels: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.randomness = Randomness(seed)
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
        self.schedule, self.ema = optimizer, ema
        self.data = data
        self.ema.follow(self.denoiser)
        self.descent = Descent()
        self._raw: dict[str, Tensor] | None = None
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

    def training_draws(self, step: int) -> Draws:
        """x0, sigma and noise of an optimiser step, functions of (seed, step) and the rows alone.

        The rows are this rank's share of the batch; noise levels are spread over the whole batch.
        They stay on the CPU, where coefficients and weights are computed from them in float64.
        """
        batch = self.data.batch_size
        share = self.descent.ranks.share(batch)
        start, stop = step * batch + share.start, step * batch + share.stop
        levels = self.noise_levels.draw(self.randomness, step, batch)[share.start : share.stop]
        return (
            moved(self.data.training_batch(start, stop), self.device),
            levels,
            moved(self.randomness.normal("noise", start, stop, self.data.shape), self.device),
        )

    def training_step(self, block: tuple[int, int], batch_idx: int) -> dict[str, list[float]]:
        """The optimiser steps of a block, first to last - 1; lightning's loop costs once a block.

        Raises:
            DivergedError: at a loss that is not finite; says the step and the noise levels.
        """
        first, last = block
        optimizer = cast(torch.optim.Optimizer, self.optimizers(use_pl_optimizer=False))
        parameters, losses, max_steps = list(self.parameters()), [], self.trainer.max_steps
        for step in range(first, last):
            draws = self._draws(step)
            self._network_noise.begin(step)
            losses.append(self._differentiate(*draws))
            self.descent.finish(parameters, optimizer, self.schedule.max_grad_norm)
            optimizer.param_groups[0]["lr"] = self.schedule.rate(step, max_steps)
            self.descent.step(optimizer)
            for parameter in parameters:  # In a third of the time of zero_grad.
                parameter.grad = None
            self.ema.update((step + 1) * self.data.batch_size, self.data.batch_size)
        if self.device.type != "cpu":  # Before the losses are waited for.
            self._draws.prepare(range(last, min(2 * last - first, max_steps)))
        means = self._checked_means(torch.stack(losses), first)
        self._count_steps(last - first)
        return {"losses": means.tolist()}

    def _differentiate(self, x0: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
        """Gradients of the batch's mean objective; the losses of this rank's samples, (n,)."""
        losses = []
        for is_last, part in self.descent.parts_of(x0, sigma, noise):
            loss = self.loss(*part)
            losses.append(loss.detach())
            objective = self.weighting.objective(loss, part[1]).mean()
            if self.descent.parts > 1:
                objective = objective / self.descent.parts
            with nullcontext() if is_last else self._unsynchronised():
                self._backward(self.descent.scaled(objective))
        return losses[0] if len(losses) == 1 else torch.cat(losses)

    def _unsynchronised(self) -> AbstractContextManager[Any]:
        """Ranks wait for the last part of a batch before they average its gradients."""
        strategy = self.trainer.strategy
        if isinstance(strategy, ParallelStrategy):
            return strategy.block_backward_sync()
        return nullcontext()

    def _backward(self, objective: Tensor) -> None:
        if isinstance(self.trainer.strategy, SingleDeviceStrategy):
            torch.autograd.backward(objective)
        else:  # A plain backward would silently not be synchronised.
            self.manual_backward(objective)

    def _checked_means(self, losses: Tensor, first: int) -> Tensor:
        """The mean loss of each step over the whole batch, (k,), all of which have to be finite.

        Args:
            losses: of this rank's samples, (k, n).
            first: the number of the first step.
        """
        ranks = self.descent.ranks
        # The last step's gradient may not be finite although its loss is.
        norm = self.descent.norm([p.detach() for p in self.parameters()])
        sums = ranks.total(torch.cat([losses.mean(1), norm.to(losses)[None]])).cpu()
        if torch.isfinite(sums).all():
            return sums[:-1] / ranks.size
        bad, what = ~torch.isfinite(torch.cat(ranks.collected(losses), dim=1)), "loss"
        if not bad.any():
            bad[-1], what = True, "gradient"
        offset, batch = int(bad.any(1).nonzero()[0]), self.data.batch_size
        step = first + offset
        points = self.data.batch(step * batch, (step + 1) * batch)
        sigma = self.noise_levels.draw(self.randomness, step, batch)[bad[offset].cpu()]
        raise diverged(what, step, points, sigma)

    def _count_steps(self, steps: int) -> None:
        # Manual optimisation counts optimiser calls, which lightning does not see in a block.
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress.total
        progress.ready += steps
        progress.completed += steps

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """For a training: the network in its precision there, or compiled."""
        if isinstance(self.denoiser, ExactDenoiser):
            yield
            return
        with self.denoiser.prepared(self.descent.dtype, self.descent.compile):
            yield

    def configure_model(self) -> None:
        """Spread the weights over the ranks, where the strategy is to."""
        mesh = self.device_mesh
        if self.descent.is_sharded and mesh is not None:
            shard(self.denoiser, mesh["data_parallel"])
            self.ema.follow(self.denoiser)

    def on_train_start(self) -> None:
        """After a checkpoint was read, which may be of one process."""
        self._draws = DrawsAhead(self.training_draws)
        rank = self.descent.ranks.rank
        self._network_noise = NetworkNoise(self.randomness, rank, self.device)
        optimizer = cast(torch.optim.Optimizer, self.optimizers(use_pl_optimizer=False))
        self.schedule.restore_numbers(optimizer)
        if self.descent.is_sharded:
            one_by_one(optimizer)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.schedule.build(self.parameters())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["ema"] = self.ema.whole_state()
        if self.descent.scaler is not None:
            checkpoint["scaler"] = self.descent.scaler.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.ema.load_state_dict(checkpoint["ema"])
        # A training in another precision, that is continued in this one, has none.
        if self.descent.scaler is not None and "scaler" in checkpoint:
            self.descent.scaler.load_state_dict(checkpoint["scaler"])

    # ---- weights -------------------------------------------------------------------------

    @property
    def weight_names(self) -> list[str]:
        """What `use` takes: raw, ema (the first average), and each average by its name."""
        return ["raw", "ema", *self.ema.names]

    def weights(self, name: str) -> dict[str, Tensor]:
        """Weights of the denoiser by name, as a state dict.

        Raises:
            ValueError: for an unknown name.
        """
        if name not in self.weight_names:
            known = ", ".join(self.weight_names)
            raise ValueError(f"evaluation.weights must be one of {known}, got {one_line(name)}")
        if name == "raw":
            return self._raw if self._raw is not None else dict(self.denoiser.named_parameters())
        return self.ema.state_dict()[self.ema.names[0] if name == "ema" else name]

    def share_buffers(self) -> None:
        """Let all ranks have the first one's buffers, which each changes by its own samples."""
        ranks = self.descent.ranks
        if ranks.size > 1:
            first = ranks.first_says(lambda: [b.cpu() for b in self.denoiser.buffers()])
            for own, other in zip(self.denoiser.buffers(), first, strict=True):
                own.copy_(other)

    def use(self, name: str) -> None:
        """Let the denoiser have the weights of this name, for good; training needs `raw`.

        Buffers, such as the running statistics of batch norm, stay as the training has left them.
        """
        chosen = self.weights(name)
        if self._raw is None:
            live = self.denoiser.named_parameters()
            self._raw = {key: weight.detach().clone() for key, weight in live}
            chosen = self._raw if name == "raw" else chosen
        with torch.no_grad():
            for key, parameter in self.denoiser.named_parameters():
                parameter.copy_(chosen[key])

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
