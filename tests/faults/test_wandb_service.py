"""W&B's service is killed while a model is trained: the run goes on, and its record is whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from planted import JOB, command, is_same, last_run, litter, run_state

from fokker.machine.files import read_json

KILL = """
from fokker.training.ema import EMA
update = EMA.update
def noted(self, images, batch_size):
    update(self, images, batch_size)
    if images == 13 * batch_size:
        import wandb
        process = wandb.setup().ensure_service()._proc._process
        process.kill()
        process.wait()
EMA.update = noted
"""


def test_a_service_that_is_killed_in_a_training_costs_a_sentence(
    workdir: Path, undisturbed: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_SERVICE", raising=False)  # A service of its own.
    said = command(*JOB, "logger=[csv,wandb]", before=KILL)
    assert said.code == 0, said
    (line,) = said.err.splitlines()
    assert line.startswith("warning: W&B is off for this run, whose local record is whole: ")
    assert "wandb    " not in said.out
    assert is_same(run_state(), undisturbed(*JOB))
    assert read_json(last_run() / "run.json")["status"] == "completed"
    assert litter() == []
