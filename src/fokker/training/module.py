"""The LightningModule that trains any formulation."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast, final

import lightning as L
import torch
from lightning.pytorch.strategies import ParallelStrategy, SingleDeviceStrategy
from torch import Tensor

from fokker.formulation import Draws, Formulation
from fokker.machine.named_files import one_line
from fokker.training.descent import Descent
from fokker.training.divergence import diverged
from fokker.training.draws import DrawsAhead, NetworkNoise
from fokker.training.ema import EMA
from fokker.training.losses import checked
from fokker.training.optimizers import Schedule
from fokker.training.sharding import one_by_one, shard


@final
class Training(L.LightningModule):
    """A formulation with its optimizer and its averages, trained in blocks of steps.

    Args:
        formulation: the formulation that is trained.
        optimizer: the optimizer and its learning rates.
        ema: the averages of the weights of the formulation's network.
    """

    formulation: Formulation
    _draws: DrawsAhead
    _network_noise: NetworkNoise

    def __init__(self, formulation: Formulation, optimizer: Schedule, ema: EMA) -> None:
        super().__init__()
        self.automatic_optimization = False
        # The modules, parameters and buffers are the formulation's own under the same names, so
        # that files have these names; the formulation itself is not a submodule.
        self._modules, self._buffers = formulation._modules, formulation._buffers
        self._parameters = formulation._parameters
        self._non_persistent_buffers_set = formulation._non_persistent_buffers_set
        self.__dict__["formulation"] = formulation
        self.schedule, self.ema = optimizer, ema
        self.ema.follow(formulation.network)
        self.descent = Descent()
        self._raw: dict[str, Tensor] | None = None

    # ---- steps ---------------------------------------------------------------------------

    def training_draws(self, step: int) -> Draws:
        """Return the draws of an optimizer step for this rank's share of the batch."""
        size = self.formulation.data.batch_size
        share = self.descent.ranks.share(size)
        batch = self.formulation.fetch(step * size + share.start, step * size + share.stop)
        return self.formulation.draws(step, share, batch)

    def training_step(self, block: tuple[int, int], batch_idx: int) -> dict[str, list[float]]:
        """Make the optimizer steps of a block, first to last - 1.

        A block is one batch of lightning's loop, so that the loop's cost comes once a block.

        Raises:
            DivergedError: at a loss or gradient that is not finite; says the step and the levels.
        """
        first, last = block
        optimizer = cast(torch.optim.Optimizer, self.optimizers(use_pl_optimizer=False))
        parameters, losses, max_steps = list(self.parameters()), [], self.trainer.max_steps
        size = self.formulation.data.batch_size
        for step in range(first, last):
            draws = self._draws(step)
            self._network_noise.begin(step)
            losses.append(self.differentiate(draws))
            self.descent.finish(parameters, optimizer, self.schedule.max_grad_norm)
            optimizer.param_groups[0]["lr"] = self.schedule.rate(step, max_steps)
            self.descent.step(optimizer)
            for parameter in parameters:  # It takes a third of the time of zero_grad.
                parameter.grad = None
            self.ema.update((step + 1) * size, size)
        if self.device.type != "cpu":  # Reading the losses waits for the device.
            self._draws.prepare(range(last, min(2 * last - first, max_steps)))
        means = self._checked_means(torch.stack(losses), first)
        self._count_steps(last - first)
        return {"losses": means.tolist()}

    def differentiate(self, draws: Draws) -> Tensor:
        """Compute the gradients of the batch's mean objective; return this rank's losses, (n,)."""
        values, parts = [], list(draws.cut(self.descent.parts))
        for number, part in enumerate(parts, start=1):
            losses = checked(self.formulation.losses(part), len(part.level), self.formulation)
            values.append(losses.value.detach())
            objective = losses.objective.mean()
            if len(parts) > 1:
                objective = objective / len(parts)
            with nullcontext() if number == len(parts) else self._unsynchronised():
                self._backward(self.descent.scaled(objective))
        return values[0] if len(values) == 1 else torch.cat(values)

    def _unsynchronised(self) -> AbstractContextManager[Any]:
        """Return a context in which ranks do not average gradients: only the last part does."""
        strategy = self.trainer.strategy
        if isinstance(strategy, ParallelStrategy):
            return strategy.block_backward_sync()
        return nullcontext()

    def _backward(self, objective: Tensor) -> None:
        if self._trainer is None or isinstance(self.trainer.strategy, SingleDeviceStrategy):
            torch.autograd.backward(objective)
        else:  # A plain backward would silently not average over the ranks.
            self.manual_backward(objective)

    def _checked_means(self, losses: Tensor, first: int) -> Tensor:
        """Return the mean loss of each step over the whole batch, (k,); refuse any not finite.

        Args:
            losses: the losses of this rank's samples, (k, n).
            first: the number of the first step.
        """
        ranks = self.descent.ranks
        # The last step's gradient may not be finite although its loss is: the weights show it.
        norm = self.descent.norm([p.detach() for p in self.parameters()])
        sums = ranks.total(torch.cat([losses.mean(1), norm.to(losses)[None]])).cpu()
        if torch.isfinite(sums).all():
            return sums[:-1] / ranks.size
        bad, what = ~torch.isfinite(torch.cat(ranks.collected(losses), dim=1)), "loss"
        if not bad.any():
            bad[-1], what = True, "gradient"
        offset, size = int(bad.any(1).nonzero()[0]), self.formulation.data.batch_size
        step = first + offset
        batch = self.formulation.fetch(step * size, (step + 1) * size)
        levels = self.formulation.draws(step, range(size), batch).level[bad[offset].cpu()]
        raise diverged(what, step, batch.x, levels, self.formulation.axis.name)

    def _count_steps(self, steps: int) -> None:
        # In manual optimization lightning counts optimizer calls, but does not see those here.
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress.total
        progress.ready += steps
        progress.completed += steps

    # ---- lightning's hooks ---------------------------------------------------------------

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Prepare the network for a training in the block: its precision and its compilation."""
        with self.formulation.prepared(self.descent.dtype, self.descent.compile):
            yield

    def configure_model(self) -> None:
        """Spread the weights over the ranks, if the strategy asks for it."""
        mesh = self.device_mesh
        if self.descent.is_sharded and mesh is not None:
            shard(self.formulation.network, mesh["data_parallel"])
            self.ema.follow(self.formulation.network)

    def on_train_start(self) -> None:
        """Make the draws, and adjust an optimizer that may be read from another run's checkpoint.

        That run may have had other numbers for the optimizer, or a single process.
        """
        self._draws = DrawsAhead(self.training_draws)
        rank = self.descent.ranks.rank
        self._network_noise = NetworkNoise(self.formulation.randomness, rank, self.device)
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
        # A training that was begun in another precision has no scaler.
        if self.descent.scaler is not None and "scaler" in checkpoint:
            self.descent.scaler.load_state_dict(checkpoint["scaler"])

    # ---- weights -------------------------------------------------------------------------

    @property
    def weight_names(self) -> list[str]:
        """Return the names that `use` takes: raw, ema (the first average), and each average's."""
        return ["raw", "ema", *self.ema.names]

    def weights(self, name: str) -> dict[str, Tensor]:
        """Return weights of the network by name, as a state dict.

        Raises:
            ValueError: for an unknown name.
        """
        if name not in self.weight_names:
            known = ", ".join(self.weight_names)
            raise ValueError(f"evaluation.weights must be one of {known}, got {one_line(name)}")
        if name == "raw":
            live = self.formulation.network.named_parameters()
            return self._raw if self._raw is not None else dict(live)
        return self.ema.state_dict()[self.ema.names[0] if name == "ema" else name]

    def share_buffers(self) -> None:
        """Give all ranks the first one's buffers, since each changes its own by its samples."""
        ranks, network = self.descent.ranks, self.formulation.network
        if ranks.size > 1:
            first = ranks.first_says(lambda: [b.cpu() for b in network.buffers()])
            for own, other in zip(network.buffers(), first, strict=True):
                own.copy_(other)

    def use(self, name: str) -> None:
        """Give the network the weights of this name, until the next call; training needs `raw`.

        Buffers, such as the running statistics of batch norm, stay as the training has left them.
        """
        chosen, network = self.weights(name), self.formulation.network
        if self._raw is None:
            live = network.named_parameters()
            self._raw = {key: weight.detach().clone() for key, weight in live}
            chosen = self._raw if name == "raw" else chosen
        with torch.no_grad():
            for key, parameter in network.named_parameters():
                parameter.copy_(chosen[key])
