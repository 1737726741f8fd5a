"""Weak scaling from 1 to 2 ranks on this machine: `python tests/benchmarks/scaling.py [WIDTH ...]`.

Each rank has 256 images of 8 x 8 in a step. A training's time a step is the difference of a long
and a short one, so that start, validation and the last save are not in it; one and two ranks take
turns, and medians are shown. What a step of two ranks takes more than one of one rank, with as many
images a rank, is the price of meeting, and of two cores that share a memory.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

SHARE = 256
SHORT, LONG = 50, 350
ROUNDS = 3
SAMPLES = 20_000


def fokker(folder: Path, *overrides: str) -> dict[str, object]:
    """The record of a run."""
    done = subprocess.run(
        [sys.executable, "-m", "fokker", *overrides, "callbacks.log_steps=10000",
         "callbacks.validation_steps=10000", "callbacks.save_steps=10000",
         "callbacks.save_seconds=10000", "evaluation.figures=false", f"output_dir={folder}"],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    (path,) = (folder / "runs").iterdir()
    record: dict[str, object] = json.loads((path / "run.json").read_text())
    return record


def seconds_a_step(ranks: int, width: int, more: tuple[str, ...] = ()) -> float:
    """Of a training of `ranks` ranks."""
    took = []
    for steps in (SHORT, LONG):
        with tempfile.TemporaryDirectory() as folder:
            record = fokker(
                Path(folder), "trainer=ddp_cpu", f"trainer.devices={ranks}",
                f"data.batch_size={SHARE * ranks}", f"network.width={width}",
                f"trainer.max_steps={steps}", "evaluation.num_samples=20",
                "sampler.num_steps=1", "optimizer.warmup_steps=0", *more,
            )  # fmt: skip
            took.append(float(str(record["training_seconds"])))
    return (took[1] - took[0]) / (LONG - SHORT)


def samples_a_second(ranks: int, width: int) -> float:
    """Of Heun at 18 steps, 35 evaluations a sample."""
    with tempfile.TemporaryDirectory() as folder:
        record = fokker(
            Path(folder), "trainer=ddp_cpu", f"trainer.devices={ranks}", f"network.width={width}",
            "trainer.max_steps=1", f"evaluation.num_samples={SAMPLES}",
        )  # fmt: skip
    return SAMPLES / float(str(record["sampling_seconds"]))


def main() -> None:
    """Print one table, a row a network."""
    print("| width | parameters | images/s, 1 rank | 2 ranks | ratio | ms a step, 1 and 2 |"
          " samples/s, 1 rank | 2 ranks | ratio |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for width in map(int, sys.argv[1:] or ["256", "1024"]):
        steps: dict[int, list[float]] = {1: [], 2: []}
        samples: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(ROUNDS):
            for ranks in (1, 2):
                steps[ranks].append(seconds_a_step(ranks, width))
                samples[ranks].append(samples_a_second(ranks, width))
        one, two = (median(steps[ranks]) for ranks in (1, 2))
        few, many = (median(samples[ranks]) for ranks in (1, 2))
        with tempfile.TemporaryDirectory() as folder:
            parameters = fokker(
                Path(folder), f"network.width={width}", "trainer.max_steps=1",
                "evaluation.num_samples=20",
            )["parameters"]  # fmt: skip
        print(
            f"| {width} | {parameters:,} | {SHARE / one:,.0f} | {2 * SHARE / two:,.0f} | "
            f"{2 * one / two:.2f} | {1e3 * one:.2f} and {1e3 * two:.2f} | {few:,.0f} | "
            f"{many:,.0f} | {many / few:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
