"""kill -9 at any moment: the same command, run again, comes to what an undisturbed one does."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import pytest
from planted import JOB, SEARCH, SWEEP, child, command, ended, is_same, litter, run_state, start
from planted import sweep_state as of_sweep

from children import Child
from tiny_runs import TINY

State = Callable[[], dict[str, Any]]
RETRAIN = (*JOB, "retrain=true")
#: Words of a command, what has been done before it, what it comes to, whether with its figures.
COMMANDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], State, bool]] = {
    "a run": (JOB, (), run_state, False),
    "a run with figures": (JOB, (), run_state, True),
    "a training again": (RETRAIN, JOB, run_state, False),
    "a sweep": (SWEEP, (), of_sweep, False),
    "a search": (SEARCH, (), of_sweep, False),
}
# Files are what a kill can harm, so half of the moments are just before or after what is done to
# one: the n-th time that something below `outputs` is opened to be written, renamed or removed.
KILLED_AT = """
import os, signal
events, told = [], os.open("../events", os.O_WRONLY | os.O_CREAT)
def count(event, arguments):
    if event == "open":
        is_one = isinstance(arguments[0], (str, os.PathLike)) and (arguments[2] or 0) & os.O_ACCMODE
    else:
        is_one = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir")
    if is_one and "outputs" in os.fspath(arguments[0]):
        events.append(1)
        os.pwrite(told, b"%d" % len(events), 0)
        if len(events) == {number}:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
"""
NUMBER_OF_EVENTS = {
    "a run": 110, "a run with figures": 140, "a training again": 110, "a sweep": 260,
    "a search": 270,
}  # fmt: skip


def begin(what: str, before: str = "") -> Child:
    typed, _, _, has_figures = COMMANDS[what]
    if has_figures:
        return child(*TINY, *typed, before=before)
    return start(*typed, before=before)


def prepare(what: str) -> None:
    _, done, _, _ = COMMANDS[what]
    if done:
        assert command(*done).code == 0
        # Its run is another one than that of the command.
        for run in Path("outputs/runs").iterdir():
            run.rename(run.name)


def comes_to_the_same(what: str, undisturbed: Callable[..., dict[str, Any]]) -> bool:
    """The same command once more, against one that was never killed."""
    typed, _, state, _ = COMMANDS[what]
    # The events of a command that is not killed are fewer than are counted up to.
    said = ended(begin(what))
    assert (said.code, said.err) == (0, "")
    assert litter() == []
    same = JOB if state is run_state else typed
    return is_same(state(), undisturbed(*same, state=state))


def moments(per_command: dict[str, int], seed: str) -> list[tuple[str, float]]:
    """Places of a command's time or events, each in (0, 1), the same in every session."""
    return [
        (what, round(Random(f"{seed} {what} {i}").random(), 3))
        for what, count in per_command.items()
        for i in range(count)
    ]


# 25, 21 and, while it starts, 4.
AT_EVENTS = dict(zip(COMMANDS, (8, 3, 4, 6, 4)))
AT_TIMES = dict(zip(COMMANDS, (6, 3, 3, 5, 4)))
FEW = {"a run": 2, "a training again": 1, "a sweep": 1, "a search": 1}


def killed_at_an_event(
    workdir: Path, what: str, share: float, undisturbed: Callable[..., dict[str, Any]]
) -> bool:
    inner = workdir / "inner"
    inner.mkdir()
    os.chdir(inner)
    prepare(what)
    number = 1 + int(share * NUMBER_OF_EVENTS[what])
    said = ended(begin(what, before=KILLED_AT.format(number=number)))
    assert said.code in (-signal.SIGKILL, 0), said
    if said.code == 0:  # It had fewer.
        assert int(Path("../events").read_text()) < number
    if said.code == 0 and COMMANDS[what][2] is run_state:
        return True
    return comes_to_the_same(what, undisturbed)


@pytest.mark.parametrize(("what", "share"), moments(FEW, "few"))
def test_a_kill_at_a_file_loses_nothing(
    workdir: Path, undisturbed: Callable[..., dict[str, Any]], what: str, share: float
) -> None:
    assert killed_at_an_event(workdir, what, share, undisturbed)


@pytest.mark.long
@pytest.mark.parametrize(("what", "share"), moments(AT_EVENTS, "events"))
def test_a_kill_at_any_file_loses_nothing(
    workdir: Path, undisturbed: Callable[..., dict[str, Any]], what: str, share: float
) -> None:
    assert killed_at_an_event(workdir, what, share, undisturbed)


@pytest.mark.long
@pytest.mark.parametrize(("what", "share"), moments(AT_TIMES, "times"))
def test_a_kill_at_any_time_loses_nothing(
    workdir: Path, undisturbed: Callable[..., dict[str, Any]], what: str, share: float
) -> None:
    prepare(what)
    # As long as the command takes here and now.
    here = Path.cwd()
    Path("elsewhere").mkdir()
    os.chdir("elsewhere")
    prepare(what)
    started = monotonic()
    assert ended(begin(what)).code == 0
    seconds = monotonic() - started
    os.chdir(here)
    process = begin(what)
    process._process.join(share * seconds)
    process.kill()
    assert process.wait() in (-signal.SIGKILL, 0)
    if process.returncode == 0 and COMMANDS[what][2] is run_state:
        return
    assert comes_to_the_same(what, undisturbed)


@pytest.mark.long
@pytest.mark.parametrize("seconds", [1.0, 3.0, 5.0, 7.0])
def test_a_kill_while_it_starts_loses_nothing(
    workdir: Path, undisturbed: Callable[..., dict[str, Any]], seconds: float
) -> None:
    """The command from its first import on."""
    words = [str(Path(sys.executable).with_name("fokker")), *TINY, *JOB]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    if process.returncode != 0:
        assert comes_to_the_same("a run", undisturbed)
