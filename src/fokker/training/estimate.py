"""Estimates of a training's speed and memory, measured in a second or so."""

import statistics
from dataclasses import dataclass, replace
from time import perf_counter
from typing import final

import torch
from torch.optim import Optimizer

from fokker.machine.device import memory_text, peak_memory, wait_for
from fokker.machine.progress import duration
from fokker.training.losses import checked
from fokker.training.module import Training
from fokker.training.task import TrainingTask

#: Rows are added until a step takes so long; if all fit, they are measured for as long again.
SECONDS = 0.7
GROWTH = 4


@final
@dataclass(frozen=True)
class Estimate:
    """The speed and memory of a training, measured in some of its steps.

    Attributes:
        images_per_second: the speed of one rank.
        peak: the largest memory, as `peak_memory` gives it.
        is_whole: whether the steps held as many samples at once as the training will.
    """

    images_per_second: float
    peak: dict[str, int]
    is_whole: bool

    def text(self, images: int, ranks: int) -> str:
        """Describe the estimate for a training of `images` samples by `ranks` ranks."""
        speed = ranks * self.images_per_second
        memory = memory_text(self.peak) + ("" if self.is_whole else " and more")
        return f"{speed:,.0f} samples/s, {duration(images / speed)}; memory: {memory}"


def estimate(task: TrainingTask, ranks: int) -> Estimate:
    """Measure a few training steps without `torch.compile`; the model is of no use afterwards.

    Args:
        task: the task, whose model is untrained.
        ranks: the number of ranks that would share a batch.
    """
    training, engine, device = task.training, task.engine, task.device
    batch = task.model.data.batch_size
    parts = engine.parts(batch, ranks)
    rows = batch // ranks // parts
    training.to(device).train()
    training.descent = replace(engine.descent(device, task.ranks, batch), compile=False)
    optimizer = training.configure_optimizers()
    with training.prepared():
        _gradients(training, 1, device)  # Warms up.
        _update(training, optimizer, device)
        fixed = _update(training, optimizer, device)
        held, before, seconds = 1, (0, 0.0), _gradients(training, 1, device)
        while held < rows and (seconds < SECONDS or held == 1):  # At least two sizes.
            before, held = (held, seconds), min(GROWTH * held, rows)
            seconds = _gradients(training, held, device)
        if held == rows:
            found, started = [seconds], perf_counter()
            while perf_counter() - started < SECONDS:
                found.append(_gradients(training, rows, device))
            seconds = statistics.median(found)
        else:
            seconds += (rows - held) * max(0.0, seconds - before[1]) / (held - before[0])
    return Estimate(rows / (seconds + fixed / parts), peak_memory(device), held == rows)


def _gradients(training: Training, rows: int, device: torch.device) -> float:
    """Time the gradients of the first rows of a batch, in seconds."""
    wait_for(device)
    started = perf_counter()
    model = training.formulation
    losses = checked(model.losses(training.training_draws(0)[:rows]), rows, model)
    torch.autograd.backward(losses.objective.mean())
    wait_for(device)
    return perf_counter() - started


def _update(training: Training, optimizer: Optimizer, device: torch.device) -> float:
    """Time a step of the optimizer and of the averages, in seconds."""
    wait_for(device)
    started = perf_counter()
    optimizer.step()
    training.ema.update(1, 1)
    wait_for(device)
    return perf_counter() - started
