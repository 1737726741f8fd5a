"""The clock on the wall goes back or forward: nothing is lost, overwritten or negative."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from planted import (
    JOB,
    SWEEP,
    command,
    is_same,
    last_run,
    litter,
    model,
    run_state,
    sweep_state,
)

from fokker.machine.files import read_json
from fokker.store.curves import read_json_lines

HOUR, YEAR = 3600.0, 365 * 86400.0
# The wall clock of a process is off by `off`, from a training step on if one is given.
CLOCK = """
import datetime, time
from fokker.config import compose; from fokker.sweeps import collection
from fokker.training.ema import EMA
wall, now = time.time, datetime.datetime.now
off = [{off} if {step} == 0 else 0.0]
class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return {frozen} or now(tz) + datetime.timedelta(seconds=off[0])
time.time = lambda: wall() + off[0]
time.time_ns = lambda: int(1e9 * time.time())
compose.datetime = collection.datetime = datetime.datetime = Clock
update = EMA.update
def late(self, images, batch_size):
    update(self, images, batch_size)
    if images == {step} * batch_size:
        off[0] = {off}
EMA.update = late
"""


def clock(off: float, step: int = 0, frozen: str = "None") -> str:
    return CLOCK.format(off=off, step=step, frozen=frozen)


def seconds_are_positive() -> bool:
    files = [*Path("outputs").rglob("run.json"), *Path("outputs").rglob("model.json")]
    records = [read_json(file) for file in files]
    found = [(key, value) for r in records for key, value in r.items() if key.endswith("seconds")]
    assert len(found) >= 2
    assert [pair for pair in found if not 0 <= pair[1] < 1000] == []
    return True


@pytest.mark.parametrize("off", [-HOUR, pytest.param(YEAR, marks=pytest.mark.long)])
def test_a_clock_that_jumps_in_a_training_changes_nothing(
    workdir: Path, undisturbed: Callable[..., dict[str, Any]], off: float
) -> None:
    said = command(*JOB, before=clock(off, step=13))
    assert (said.code, said.err) == (0, "")
    assert is_same(run_state(), undisturbed(*JOB))
    assert seconds_are_positive()


KILL = """
import os
def killed(self, images, batch_size):
    late(self, images, batch_size)
    if images == 25 * batch_size:
        os.kill(os.getpid(), 9)
EMA.update = killed
"""


@pytest.mark.parametrize("off", [-YEAR, pytest.param(YEAR, marks=pytest.mark.long)])
def test_a_run_goes_on_in_another_year(
    workdir: Path, undisturbed: Callable[..., dict[str, Any]], off: float
) -> None:
    assert command(*JOB, before=clock(0.0) + KILL).code == -9
    (killed,) = Path("outputs/runs").iterdir()
    assert model().steps_done == 21
    assert command(*JOB, before=clock(off)).code == 0
    assert read_json(last_run() / "run.json")["training"] == "continued"
    steps = [row["step"] for row in read_json_lines(last_run() / "metrics.jsonl")]
    assert steps == sorted(set(steps))
    assert is_same(run_state(), undisturbed(*JOB))
    assert (last_run() > killed) == (off > 0)
    assert litter() == []
    assert seconds_are_positive()


@pytest.mark.long
@pytest.mark.parametrize("off", [-YEAR, YEAR])
def test_a_sweep_goes_on_in_another_year(
    workdir: Path, undisturbed: Callable[..., dict[str, Any]], off: float
) -> None:
    kill = KILL.replace("25 *", "3 *")
    assert command(*SWEEP, before=clock(0.0) + kill).code == -9
    said = command(*SWEEP, before=clock(off))
    assert (said.code, said.err) == (0, "")
    assert is_same(sweep_state(), undisturbed(*SWEEP, state=sweep_state))
    # What is done is known as such, whenever it was done.
    assert "4 completed (4 of them before)" in command(*SWEEP, before=clock(-off)).out
    assert seconds_are_positive()


@pytest.mark.long
def test_runs_of_one_second_have_folders_of_their_own(workdir: Path) -> None:
    at = "datetime.datetime.fromtimestamp(1e9)"
    for number in range(3):
        assert command(*JOB, f"sampler.num_steps={number + 1}", before=clock(0.0, 0, at)).code == 0
    runs = list(Path("outputs/runs").iterdir())
    assert len(runs) == 3
    assert len({run.name[:19] for run in runs}) == 1
    steps = {read_json(run / "metrics.json")["num_steps"] for run in runs}
    assert steps == {1, 2, 3}
