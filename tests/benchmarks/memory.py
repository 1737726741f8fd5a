"""What a training set takes of memory, beside its own bytes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

IMAGES = 50_000
TAKEN = """
import re, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import tiny_runs
def use(name):
    model = tiny_runs.compose_experiment("data=points", f"data.path={name}.npy").model
    for step in range(320):
        model.training_draws(step)
    return model.data.law
def kilobytes(what):
    return int(re.search(rf"{what}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
use("few")
before = kilobytes("VmRSS")
law = use("all")
print(1024 * (kilobytes("VmHWM") - before))
"""


def memory_rounds(dtype: type) -> Iterator[tuple[float, float]]:
    """GB that a process takes at most for the set, two epochs of batches and its law; the array's.

    What any set takes, 1,000 images have taken before.
    """
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 3, 32, 32)).astype(dtype)
    np.save("all.npy", images)
    np.save("few.npy", images[:1_000])
    command = [sys.executable, "-c", TAKEN, str(Path(__file__).parents[1])]
    while True:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        yield int(done.stdout.split()[-1]) / 1e9, images.nbytes / 1e9
