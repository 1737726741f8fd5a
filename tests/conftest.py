"""One thread, no network, nothing written into the repository: set before torch is imported."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_ERROR_REPORTING"] = "false"  # the one network call of an offline run
os.environ["WANDB_SILENT"] = "true"

import gc
from collections import Counter
from pathlib import Path

import hypothesis
import pytest
import torch

torch.set_num_threads(1)
# Torch and lightning are a million objects, which it would look through again and again.
gc.set_threshold(100_000, 50, 100)

# No deadline and no chance: a shared machine is slow at times, and a failure has to come back.
FIXED = hypothesis.settings(deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("fokker", FIXED)
hypothesis.settings.register_profile("thorough", FIXED, max_examples=2000)
hypothesis.settings.load_profile("fokker")


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one during the test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.hookimpl(tryfirst=True)  # Before pytest takes the cases that its option -m asks for.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the cases of a test with `one_in(k)` as long, but for one in k."""
    seen: Counter[str] = Counter()
    for item in items:
        mark = item.get_closest_marker("one_in")
        if mark is not None:
            test = item.nodeid.partition("[")[0]
            if seen[test] % mark.args[0]:
                item.add_marker(pytest.mark.long)
            seen[test] += 1
