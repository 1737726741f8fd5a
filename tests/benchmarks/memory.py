"""What a training set takes of memory, beside its own bytes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

IMAGES, FEW = 50_000, 1_000
TAKEN = """
import re, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import tiny_runs
made = tiny_runs.compose_experiment("data=points", f"data.path={sys.argv[2]}")
for step in range(160):
    made.task.training.training_draws(step)
made.model.data.law
# What getrusage has would begin with the peak of the process that started this one.
print(1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]))
"""


def memory_rounds(dtype: type) -> Iterator[tuple[float, float]]:
    """GB that a process takes at most for a set, an epoch of batches and its law; the array's.

    Both without those of 1,000 images, so that what any set takes is left out.
    """
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 3, 32, 32)).astype(dtype)
    np.save("all.npy", images)
    np.save("few.npy", images[:FEW])
    while True:
        yield (_taken("all.npy") - _taken("few.npy")) / 1e9, images[FEW:].nbytes / 1e9


def _taken(path: str) -> int:
    command = [sys.executable, "-c", TAKEN, str(Path(__file__).parents[1]), path]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout)
