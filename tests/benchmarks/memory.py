"""What a training set takes of memory, beside its own bytes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

IMAGES = 50_000
TRAINED = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import tiny_runs
tiny_runs.train("data=points", f"data.path={sys.argv[2]}.npy", f"output_dir={sys.argv[2]}")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def memory_rounds(dtype: type) -> Iterator[tuple[float, float]]:
    """GB at the peak of a training, above that with 1,000 images, and of the array."""
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 3, 32, 32)).astype(dtype)
    np.save("all.npy", images)
    np.save("few.npy", images[:1_000])
    while True:
        yield (_peak("all") - _peak("few")) / 1e9, images.nbytes / 1e9


def _peak(name: str) -> int:
    """Bytes of memory that a process of 20 steps has held."""
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", TRAINED, tests, name]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])
