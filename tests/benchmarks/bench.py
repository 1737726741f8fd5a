"""What the platform costs beside what one would write by hand: `make bench`, or bench.py WORD ...

Both sides take turns, in one process or in pairs of processes, on one torch thread; the ratio is
the median over rounds. Each row has a process of its own, as memory that a row has freed makes the
next one's large tensors cheaper. A second table has errors beside those of diffusers' schedulers,
which take minutes. It reports, and fails on nothing. With words: rows and tables that hold one.
"""

import itertools
import multiprocessing
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from memory import memory_rounds
from sampling import dpmpp_2m_rounds, gpu_rounds, heun_rounds
from starting import found_again_rounds, start_rounds
from training import ON_A_GPU, TRAININGS

ROUNDS = 7
#: What is compared, the baseline, the largest ratio that is good enough, and (ours, theirs).
ROWS: list[tuple[str, str, float, Callable[[], Iterator[tuple[float, float]]]]] = [
    *((t.title, "a torch loop by hand", t.limit, t.rounds) for t in TRAININGS),
    ("10,000 samples, Heun N = 18, MLP 128", "the loop of EDM's authors", 1.02, heun_rounds),
    (
        "10,000 samples, DPM-Solver++(2M), N = 20, MLP 128", "diffusers", 0.9, dpmpp_2m_rounds,
    ),
    (
        "`fokker` to its first training step", "`import lightning, torchmetrics`", 1.3,
        start_rounds,
    ),
    ("a finished sweep's jobs found again", "0.5 s", 1.0, found_again_rounds),
    (
        "memory, GB: 50,000 images 3x32x32, 8 bits", "the array's bytes", 1.2,
        partial(memory_rounds, np.uint8),
    ),
    (
        "memory, GB: 50,000 images 3x32x32, float32", "the array's bytes", 1.2,
        partial(memory_rounds, np.float32),
    ),
    *((t.title, "a torch loop by hand", t.limit, t.rounds_by_image) for t in ON_A_GPU),
    ("GPU, images/s: samples, Heun N = 18, MLP 128", "the loop of EDM's authors", 1.02, gpu_rounds),
]  # fmt: skip
ERRORS, ERROR_LIMIT = "error against evaluations, ideal denoiser", 0.9


def main() -> None:
    """Print each row as soon as it is measured."""
    asked = sys.argv[1:]
    rows = [n for n, (what, *_) in enumerate(ROWS) if not asked or any(w in what for w in asked)]
    if rows:
        if torch.cuda.is_available():
            print(f"GPU: {torch.cuda.get_device_name()}\n")
        print("| what, in ms | baseline | fokker | baseline | ratio of times | at most |")
        print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for number in rows:
            _in_new_process(print_row, number)
        if not asked or any(word in ERRORS for word in asked):
            print(f"\n{ERRORS}", flush=True)
            _in_new_process(print_error_table)
        os.chdir("/")


def print_row(number: int) -> None:
    """Measure a row of `ROWS`."""
    what, baseline, limit, rounds = ROWS[number]
    if "GPU" in what and not torch.cuda.is_available():
        print(f"| {what} | {baseline} | not run: torch sees no GPU here | | | {limit} |")
        return
    pairs = list(itertools.islice(rounds(), ROUNDS))
    unit = 1 if "GB" in what else 1e3
    ours, theirs = (unit * median(side) for side in zip(*pairs))
    if "images/s" in what:  # Measured are seconds an image.
        ours, theirs = 1e3 / ours, 1e3 / theirs
    ratio = median(one / other for one, other in pairs)
    print(f"| {what} | {baseline} | {ours:.4g} | {theirs:.4g} | {ratio:.2f} | {limit} |")


def print_error_table() -> None:
    """The second table."""
    from errors import print_errors  # Here, as it imports diffusers.

    print_errors(ERROR_LIMIT)


def _in_new_process(measure: Callable[..., None], *arguments: int) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=_quietly, args=(measure, *arguments)
    )
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(process.exitcode)


def _quietly(measure: Callable[..., None], *arguments: int) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    measure(*arguments)


if __name__ == "__main__":
    main()
