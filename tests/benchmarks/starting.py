"""From the command to its first step, and to a result that is there already."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from time import perf_counter
from unittest import mock

from fokker.cli.main import main

FIRST_STEP = """
import os, sys
from fokker.cli.main import main
from fokker.training import Training
step = Training.training_step
Training.training_step = lambda *arguments: (step(*arguments), os._exit(0))
sys.argv = ["fokker", "data=uniform", f"output_dir=first.{os.getpid()}"]
main()
"""
IMPORTS = "import lightning, torchmetrics"


def start_rounds() -> Iterator[tuple[float, float]]:
    """CPU seconds of a process until the first step of a training is done, and of the imports."""
    while True:
        yield _seconds(FIRST_STEP), _seconds(IMPORTS)


def _seconds(code: str) -> float:
    """Of user and system together, which a busy machine changes least."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit {process.returncode} of {code}")
    return usage.ru_utime + usage.ru_stime


def found_again_rounds() -> Iterator[tuple[float, float]]:
    """Seconds of a sweep of one job that is done, in this process, beside half a second."""
    job = [
        "fokker", "-m", "data=uniform", "trainer.max_steps=2", "evaluation.figures=false",
        "evaluation.num_samples=100", "sampler.num_steps=2,3", "output_dir=found",
    ]  # fmt: skip
    for number in itertools.count():
        begun = perf_counter()
        with mock.patch.object(sys, "argv", job), redirect_stdout(StringIO()):
            main()
        if number:
            yield perf_counter() - begun, 0.5
