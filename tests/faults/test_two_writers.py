"""Two processes at one moment that want the same: both end well, or one is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from planted import (
    JOB,
    SWEEP,
    Said,
    command,
    ended,
    is_same,
    litter,
    model,
    refused,
    run_state,
    start,
    status,
    sweep_state,
)

from fokker.machine.files import read_json
from tiny_runs import differing, trained_state

Undisturbed = Callable[..., dict[str, Any]]
GATE = """
import os, time
print("ready", flush=True)
while not os.path.exists("go"):
    time.sleep(0.001)
"""
# A training that takes so long that the other one finds it at work.
SLOW = """
from fokker.training.ema import EMA
update = EMA.update
def slow(self, images, batch_size):
    update(self, images, batch_size)
    time.sleep(0.02)
EMA.update = slow
"""


def at_once(*commands: tuple[str, ...]) -> list[Said]:
    both = [start(*typed, before=GATE + SLOW) for typed in commands]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    Path("go").touch()
    return [ended(process) for process in both]


def trainings() -> list[str]:
    runs = Path("outputs/runs").iterdir()
    return sorted(str(read_json(run / "run.json")["training"]) for run in runs)


def same_model(undisturbed: Undisturbed) -> bool:
    assert litter() == []
    state, expected = trained_state(model()), undisturbed(*JOB)
    assert differing(state, {key: expected[key] for key in state}) == []
    return True


@pytest.mark.long
def test_a_model_that_two_want_is_trained_once(workdir: Path, undisturbed: Undisturbed) -> None:
    said = at_once(JOB, (*JOB, "sampler=ddim"))
    assert [(one.code, one.err) for one in said] == [(0, "")] * 2
    assert trainings() == ["found", "trained"]
    waited = [one for one in said if f"another process trains {model().path.name}; wait" in one.out]
    assert len(waited) == 1
    assert same_model(undisturbed)
    assert {status(run) for run in Path("outputs/runs").iterdir()} == {"completed"}


@pytest.mark.long
def test_the_same_command_twice_is_two_runs_of_one_model(
    workdir: Path, undisturbed: Undisturbed
) -> None:
    assert [(one.code, one.err) for one in at_once(JOB, JOB)] == [(0, "")] * 2
    assert trainings() == ["found", "trained"]
    assert same_model(undisturbed)
    one, other = Path("outputs/runs").iterdir()
    assert (one / "samples.npz").read_bytes() == (other / "samples.npz").read_bytes()
    assert (one / "metrics.json").read_text() == (other / "metrics.json").read_text()


def test_one_folder_has_one_run(workdir: Path, undisturbed: Undisturbed) -> None:
    place = "hydra.run.dir=outputs/runs/mine"
    both = at_once((*JOB, place), (*JOB, place, "sampler=ddim"))
    said = sorted(both, key=lambda one: one.code)
    assert [one.code for one in said] == [0, 1]
    assert refused(said[1], "outputs/runs/mine is another process's, which is at work there")
    won = "ddim" if "ddim" in str(read_json(Path("outputs/runs/mine/run.json"))) else "heun"
    assert f"\n{won}," in Path("outputs/runs/mine/evaluations.csv").read_text()
    assert same_model(undisturbed)
    if won == "heun":
        assert is_same(run_state(), undisturbed(*JOB))
    assert command(*JOB, place).err.startswith("fokker: hydra.run.dir=")


@pytest.mark.long
def test_a_run_and_a_training_again_do_not_mix(workdir: Path, undisturbed: Undisturbed) -> None:
    assert command(*JOB).code == 0
    said = at_once(JOB, (*JOB, "retrain=true"), (*JOB, "retrain=true", "sampler=ddim"))
    assert [(one.code, one.err) for one in said] == [(0, "")] * 3
    assert trainings() == ["found", "trained", "trained", "trained"]
    assert same_model(undisturbed)


@pytest.mark.long
def test_a_sweep_that_two_run_is_one(workdir: Path, undisturbed: Undisturbed) -> None:
    said = at_once(SWEEP, SWEEP)
    assert [(one.code, one.err) for one in said] == [(0, "")] * 2
    assert litter() == []
    assert is_same(sweep_state(), undisturbed(*SWEEP, state=sweep_state))
    (folder,) = Path("outputs/sweeps").iterdir()
    assert read_json(folder / "sweep.json")["statuses"] == {"completed": 4}
