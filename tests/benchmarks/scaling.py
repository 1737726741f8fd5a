"""Weak scaling on this machine, each rank with 256 images of 8 x 8 in a step:

    OMP_NUM_THREADS=1 torchrun --nproc-per-node=2 tests/benchmarks/scaling.py [WIDTH ...]

Three ways take turns in the same processes: the first rank alone, all ranks each with a training of
its own, all ranks together. So what a step of ranks together takes more is split in two: the
machine's part, of cores that share memory and clock, and the price of meeting.
"""

import logging
import sys
import tempfile
import warnings
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from lightning.pytorch import Trainer

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny_runs
from fokker.evaluations.sample import draw_samples
from fokker.experiment import Experiment
from fokker.machine.ranks import ALONE, Ranks
from fokker.machine.signals import Signals
from fokker.training.fit import obtain

SHARE, BLOCK, STEPS = 256, 25, 250
SAMPLES = 4096
ROUNDS = 3
WAYS = ("alone", "beside", "together")


def job(ranks: Ranks, width: int, folder: str) -> Experiment:
    """A training of these ranks."""
    strategy = "ddp" if ranks.size > 1 else "auto"
    made = tiny_runs.compose_experiment(
        "data=digits", f"network.width={width}", "network.depth=4", f"trainer.strategy={strategy}",
        f"trainer.devices={ranks.local_size}", f"data.batch_size={SHARE * ranks.size}",
        f"trainer.max_steps={STEPS}", f"callbacks.log_steps={BLOCK}",
        "callbacks.save_steps=1000000", "callbacks.save_seconds=1000000", f"output_dir={folder}",
    )  # fmt: skip
    return made.with_task(ranks=ranks)


def train(made: Experiment) -> tuple[float, float]:
    """Seconds a step, and seconds of the save at its end."""
    ends: list[float] = []
    saves: list[float] = []
    save = Trainer.save_checkpoint

    def timed(*arguments: Any, **options: Any) -> None:
        begun = perf_counter()
        save(*arguments, **options)
        saves.append(perf_counter() - begun)

    Trainer.save_checkpoint = timed  # type: ignore[method-assign]
    obtain(made.task, lambda *_: ends.append(perf_counter()), lambda _: None, Signals())
    Trainer.save_checkpoint = save  # type: ignore[method-assign]
    steps = [(b - a) / BLOCK for a, b in pairwise(ends[1:-1])]
    # The first rank alone hears the curve.
    return (median(steps) if steps else 0.0), saves[-1]


def sample(made: Experiment) -> float:
    """Samples a second, of Heun at 18 steps."""
    count = SAMPLES * made.task.ranks.size
    return count / draw_samples(made.plan.ways[0], count, 0, ranks=made.task.ranks).seconds


def measure(ranks: Ranks, width: int) -> dict[str, list[float]]:
    """Each number of each round."""
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for way in WAYS:
            ranks.first_says(lambda: None)  # All begin at once.
            if way == "alone" and not ranks.is_first:
                continue
            with tempfile.TemporaryDirectory() as own:
                folder = ranks.first_says(lambda: own) if way == "together" else own
                made = job(ranks if way == "together" else ALONE, width, folder)
                step, save = train(made)
                numbers = {"step": step, "save": save, "samples": sample(made)}
                for name, value in numbers.items():
                    found.setdefault(f"{name} {way}", []).append(value)
                parameters = sum(p.numel() for p in made.model.parameters())
                if way == "together":
                    ranks.first_says(lambda: None)
    return {**found, "parameters": [parameters]}


def all_reduce(ranks: Ranks, numbers: int) -> float:
    """Seconds of a sum of so many float32 numbers."""
    part, took = torch.zeros(numbers), []
    for _ in range(30):
        begun = perf_counter()
        ranks.total(part)
        took.append(perf_counter() - begun)
    return median(took)


def main() -> None:
    """Print two tables, a row a network."""
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    ranks, rows = Ranks.join(), []
    small = 1e6 * all_reduce(ranks, 1)
    for width in map(int, sys.argv[1:] or ["256", "1024"]):
        found = {key: median(values) for key, values in measure(ranks, width).items()}
        count = int(found["parameters"])
        rows.append((width, count, found, all_reduce(ranks, count)))
    if not ranks.is_first:
        return
    print("| width | parameters | images/s: 1 rank | side by side | together | ratio |"
          " samples/s: 1 rank | together | ratio |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for width, count, found, _ in rows:
        one, beside, two = (found[f"step {way}"] for way in WAYS)
        few, many = found["samples alone"], found["samples together"]
        print(f"| {width} | {count:,} | {SHARE / one:,.0f} | {ranks.size * SHARE / beside:,.0f} | "
              f"{ranks.size * SHARE / two:,.0f} | {ranks.size * one / two:.2f} | {few:,.0f} | "
              f"{many:,.0f} | {many / few:.2f} |")  # fmt: skip
    print("\n| width | ms a step: 1 rank | side by side | together | price of meeting |"
          " all-reduce of the gradients, ms | of one number, us | save, ms |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for width, _, found, reduced in rows:
        one, beside, two = (1e3 * found[f"step {way}"] for way in WAYS)
        save = 1e3 * found["save together"]
        print(f"| {width} | {one:.2f} | {beside:.2f} | {two:.2f} | {two - beside:.2f} | "
              f"{1e3 * reduced:.2f} | {small:.0f} | {save:.0f} |")  # fmt: skip


if __name__ == "__main__":
    main()
