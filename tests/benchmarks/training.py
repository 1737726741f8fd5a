"""A training step against a loop written by hand, in turns in one process."""

import copy
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import final

import torch
from torch import Tensor, nn

import tiny_runs
from fokker.experiment.experiment import Experiment
from fokker.machine.progress import nobody
from fokker.machine.signals import Signals
from fokker.store.models import ModelFolder
from fokker.training.fit import obtain

# Of steps that are timed together; the first one of a training warms up.
BLOCK = 100


@final
@dataclass(frozen=True)
class Training:
    """A training of fokker's, and the same one as a loop that a competent user would write.

    Attributes:
        title: of the row.
        overrides: of the job.
        blocks: of steps that are timed, a round.
        limit: what the ratio must not exceed.
        dtype: of the loop's multiplications, by autocast; none: float32.
    """

    title: str
    overrides: tuple[str, ...]
    blocks: int
    limit: float
    dtype: torch.dtype | None = None

    def rounds(self) -> Iterator[tuple[float, float]]:
        """Seconds a step of fokker's and of the loop's, again and again, on the job's device."""
        while True:
            made = tiny_runs.compose_experiment(
                *self.overrides, "seed=0", f"trainer.max_steps={BLOCK * (self.blocks + 2)}",
                f"callbacks.log_steps={BLOCK}", "callbacks.validation_steps=1000000",
                "callbacks.save_steps=1000000",
            )  # fmt: skip
            network = copy.deepcopy(made.model.denoiser.network)
            assert isinstance(network, nn.Module)
            ours = _fokker(made)
            network.to(made.task.device)
            yield ours, _loop(network, _batches(made), BLOCK, self.blocks, self.dtype)

    def rounds_by_image(self) -> Iterator[tuple[float, float]]:
        """Seconds an image, again and again."""
        given = dict(override.split("=") for override in self.overrides)
        batch = int(given["data.batch_size"])
        return ((ours / batch, theirs / batch) for ours, theirs in self.rounds())


def _fokker(made: Experiment) -> float:
    """Seconds a step."""
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        there = replace(made.task, folder=ModelFolder(Path(folder, made.task.folder.path.name)))
        obtain(there, lambda *_: ends.append(perf_counter()), nobody, Signals())
    # The last block is followed by a validation.
    return median(b - a for a, b in pairwise(ends[:-1])) / BLOCK


def _batches(made: Experiment) -> Callable[[], Tensor]:
    """Fresh points of U[0, 1], or of the digits an epoch in a new order, in the model's units."""
    data, device = made.model.data, made.task.device
    n = data.batch_size
    points = data.training_points()
    if points is None:
        return lambda: (torch.rand(n, 1, device=device) - data.shift) / data.scale
    images = data.to_model(points).to(device)
    order = [torch.empty(0, dtype=torch.long, device=device)]

    def batch() -> Tensor:
        if len(order[0]) < n:
            order[0] = torch.randperm(len(images), device=device)
        here, order[0] = order[0][:n], order[0][n:]
        return images[here]

    return batch


def _loop(
    network: nn.Module,
    batch: Callable[[], Tensor],
    block: int,
    blocks: int,
    dtype: torch.dtype | None = None,
) -> float:
    """Seconds a step of EDM's training (Karras 2022, table 1) as one would write it."""
    sigma_data, half_life = 0.5, 50_000
    parameters = list(network.parameters())
    optimizer = torch.optim.Adam(parameters, lr=2e-3, fused=True)
    max_steps = block * blocks
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max_steps)
    average = [p.detach().clone() for p in parameters]
    images, ends = 0, []
    for step in range(1, block * (blocks + 1) + 1):
        x0 = batch()
        sigma = (-1.2 + 1.2 * torch.randn(len(x0), device=x0.device)).exp()
        level = sigma.reshape(-1, *[1] * (x0.dim() - 1))
        noisy = x0 + level * torch.randn_like(x0)
        total = level**2 + sigma_data**2
        with torch.autocast(x0.device.type, dtype, enabled=dtype is not None):
            output = network(noisy / total.sqrt(), sigma.log() / 4)
        denoised = sigma_data**2 / total * noisy + level * sigma_data / total.sqrt() * output
        weight = (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2
        loss = (weight * (denoised - x0).square().flatten(1).mean(1)).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        images += len(x0)
        beta = 0.5 ** (len(x0) / min(half_life, 0.05 * images))
        with torch.no_grad():
            torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - beta)
        if step % block == 0:
            loss.item()
            ends.append(perf_counter())
    return median(b - a for a, b in pairwise(ends)) / block


TRAININGS = (
    Training("training step, MLP 3x64, batch 256, uniform",
             ("data=uniform", "network.width=64", "network.depth=3"), 3, 1.0),
    Training("training step, MLP 3x128, batch 1024, uniform",
             ("data=uniform", "network.width=128", "network.depth=3", "data.batch_size=1024"), 3,
             1.0),
    Training("training step, residual MLP 512, digits, batch 512",
             ("data=digits", "network.width=512", "network.depth=3", "data.batch_size=512"), 1,
             1.02),
)  # fmt: skip
SMALL = ("data=digits", "network.width=256", "network.depth=3", "data.batch_size=512")
LARGE = ("data=digits", "network.width=4096", "network.depth=6", "data.batch_size=4096")
ON_A_GPU = tuple(
    Training(f"GPU, images/s: {name}, {precision}",
             (*job, "trainer.accelerator=gpu", f"trainer.precision={precision}"), 2, 1.02, dtype)
    for name, job in (("residual MLP 3x256", SMALL), ("residual MLP 6x4096", LARGE))
    for precision, dtype in (("32-true", None), ("bf16-mixed", torch.bfloat16))
)  # fmt: skip
