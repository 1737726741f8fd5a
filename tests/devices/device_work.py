"""What is done on the tested device, each in a process of its own; see `on_device`."""

import math
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import on_device
import torch

import fokker.training.data
import tiny_runs
from fokker.evaluations.sample import draw_samples
from fokker.machine.device import moved
from fokker.machine.files import read_json
from fokker.machine.ranks import ALONE, Ranks
from fokker.machine.signals import Signals
from fokker.randomness import Randomness
from fokker.store.curves import read_json_lines
from fokker.training import InterruptedTraining
from fokker.training.fit import obtain
from fokker.training.sharding import average_whole, total_norm
from fokker.training.validation import validate

#: Steps of three and of four blocks, of 1, 2, 4 and 8 steps.
THREE_BLOCKS, FOUR_BLOCKS = 7, 15


def whole_run(*overrides: str) -> None:
    """A run on the device has the samples and all the numbers of the same run on the CPU."""
    with _blocks_by_steps():
        here = tiny_runs.run("output_dir=cpu", *overrides)
        with on_device.device():
            there = tiny_runs.run("output_dir=device", *overrides)
    on_device.assert_same(there.samples, here.samples)
    _assert_equal(_numbers(there.path), _numbers(here.path))
    tables = sorted(file.name for file in here.path.glob("*.csv"))
    assert sorted(file.name for file in there.path.glob("*.csv")) == tables


def continued(*overrides: str) -> None:
    """A training that was ended on the device goes on there, or on the CPU, as if it were not."""
    overrides = (*overrides, "callbacks.log_steps=7")
    with _blocks_by_steps():
        whole = tiny_runs.run("output_dir=whole", *overrides)
        for name, second in (("there", on_device.device), ("here", nullcontext)):
            with on_device.device():
                _end_at(7, f"output_dir={name}", *overrides)
            with second():
                rest = tiny_runs.run(f"output_dir={name}", *overrides)
            assert read_json(rest.path / "run.json")["training"] == "continued"
            on_device.assert_same(rest.samples, whole.samples)
            _assert_equal(_numbers(rest.path), _numbers(whole.path))


def training_waits(*overrides: str) -> None:
    """A training that has a block more waits once more, for its losses, and not at each step."""
    found = []
    for max_steps in (THREE_BLOCKS, FOUR_BLOCKS):
        job = (f"trainer.max_steps={max_steps}", "callbacks.log_steps=1000", *overrides)
        with _blocks_by_steps(), on_device.device(), on_device.waits() as waits:
            tiny_runs.train(f"output_dir=steps_{max_steps}", *job)
        found.append(waits)
    more = Counter(found[1])
    more.subtract(found[0])
    assert sum(more.values()) == 1, {line: n for line, n in more.items() if n}


def sampling_waits(*overrides: str) -> None:
    """Samples take no more waits in 12 steps than in 4, and are those of the CPU."""
    found = []
    for num_steps in (4, 12):
        made = tiny_runs.compose_experiment(
            "data=ring8", f"sampler.num_steps={num_steps}", *overrides
        )
        model, sampling = made.model, made.plan.ways[0]
        _be_no_beginner(model.denoiser)
        here = draw_samples(sampling, 2000, seed=3)
        with on_device.device() as device:
            model.to(device)
            with on_device.waits() as waits:
                there = draw_samples(sampling, 2000, seed=3)
        on_device.assert_same(there.points, here.points)
        on_device.assert_same(there.states, here.states)
        found.append(waits)
    assert found[0] == found[1], {line: (n, found[1][line]) for line, n in found[0].items()}


def averages_follow(*_: str) -> None:
    """Averages are of the weights that train, also where a move makes new ones of them."""
    made = tiny_runs.compose_experiment("ema.half_lives=[300]", "ema.rampup=null")
    denoiser, ema = made.model.denoiser, made.task.training.ema
    before = [weight.detach().clone() for weight in denoiser.parameters()]
    with on_device.device() as device:
        denoiser.to(device)
        with torch.no_grad():
            for weight in denoiser.parameters():
                weight += 1.0
        ema.update(300, 300)
        (averages,) = ema.state_dict().values()
        for average, weight in zip(averages.values(), before, strict=True):
            on_device.assert_same(average, torch.lerp(weight, weight + 1.0, 0.5))


def two_ranks(*overrides: str) -> None:
    """Two ranks on the device validate, sample and add up as one process does on the CPU.

    Lightning's own way to add gradients up, DDP, is refused by the second device.
    """
    ranks = Ranks.join("cuda" if on_device.IS_GPU else "cpu")
    made = tiny_runs.compose_experiment(*overrides)
    model, sampling = made.model, made.plan.ways[0]
    _be_no_beginner(model.denoiser)
    samples = draw_samples(sampling, 3000, seed=3)
    losses = _losses(model)
    part = torch.arange(1.0, 6.0)
    with on_device.device() as device:
        model.to(device)
        shared = draw_samples(sampling, 3000, seed=3, ranks=ranks)
        shared_losses = _losses(model, ranks)
        mine = moved(part * (1 + 2 * ranks.rank), device)
        weight = torch.nn.Parameter(torch.zeros_like(mine))
        weight.grad = mine.clone()
        average_whole([weight], ranks)
        for total in (ranks.total(mine), ranks.total_there(mine), 2 * weight.grad):
            assert total.device == device
            on_device.assert_same(total, 4 * part)
        norm = float(mine.cpu().double().norm())
        assert math.isclose(float(total_norm([mine], ranks)), norm, rel_tol=1e-6)
    if ranks.is_first:
        on_device.assert_same(shared.points, samples.points)
    for name, value in losses.items():
        assert math.isclose(shared_losses[name], value, rel_tol=1e-4), name


# What they share -------------------------------------------------------------------------------


@contextmanager
def _blocks_by_steps() -> Iterator[None]:
    """Blocks of 1, 2, 4, ... steps, however long they take."""
    with mock.patch.object(fokker.training.data, "BLOCK_SECONDS", 1e9):
        yield


def _end_at(step: int, *overrides: str) -> None:
    """Train until a signal comes at a step."""
    made, signals = tiny_runs.compose_experiment(*overrides), Signals()

    def listener(row: dict[str, Any], at: int) -> None:
        if at == step:
            signals.asked = signal.SIGTERM

    with suppress(InterruptedTraining):
        obtain(made.task, listener, lambda text: None, signals)
    assert made.task.folder.steps_done == step


def _losses(model: Any, ranks: Ranks = ALONE) -> dict[str, Any]:
    """Give the numbers of a validation and the columns of its table."""
    found = validate(model, ranks)
    return tiny_runs.flat({**found.numbers, **found.table.columns})


def _be_no_beginner(module: torch.nn.Module) -> None:
    """Give a network weights by chance, since its output is 0 at first."""
    with torch.no_grad():
        for number, weight in enumerate(module.parameters()):
            shape = tuple(weight.shape[1:])
            weight.copy_(Randomness(number).normal("init", 0, len(weight), shape) / 3)


def _numbers(path: Path) -> dict[str, Any]:
    """All that a run's record says in numbers which do not depend on the machine."""
    metrics, curve = read_json(path / "metrics.json"), read_json_lines(path / "metrics.jsonl")
    return tiny_runs.flat({"metrics": metrics, "curve": curve})


def _assert_equal(there: dict[str, Any], here: dict[str, Any]) -> None:
    """Equal to the bit on the second device, nearly on a GPU."""
    assert there.keys() == here.keys()
    tolerance = 1e-4 if on_device.IS_GPU else 0.0
    differing = {
        name: (there[name], value)
        for name, value in here.items()
        if not (there[name] == value or math.isclose(there[name], value, rel_tol=tolerance))
    }
    assert not differing, differing
