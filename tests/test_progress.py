"""How far a long piece of work is said to be, where there is no terminal."""

import re
import time

import pytest

import fokker.machine.progress
from fokker.machine.progress import Steps, expected_end, minute_lines


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands at its one number."""
    now = [1000.0]
    monkeypatch.setattr(fokker.machine.progress, "monotonic", lambda: now[0])
    return now


def test_a_line_a_minute_with_loss_and_what_is_to_go(clock: list[float]) -> None:
    said: list[str] = []
    steps = Steps("training", 2500, said.append, done=500)
    for _ in range(10):
        clock[0] += 20.0
        steps.advance(100, "loss 0.25")
    # 5 steps a second: after 60 s 800 are done, and 1,700 take 340 s more.
    assert len(said) == 3
    assert re.fullmatch(
        r"training, 800 of 2,500 steps, loss 0\.25, to go about 6 min, until \d\d:\d\d", said[0]
    )
    assert said[2].startswith("training, 1,400 of 2,500 steps")


def test_no_line_at_the_end_nor_of_other_ranks(clock: list[float]) -> None:
    said: list[str] = []
    whole, other = Steps("a", 4, said.append), Steps("b", 4, said.append, is_shown=False)
    clock[0] += 100.0
    whole.advance(4)
    other.advance(2)
    assert said == []


def test_a_terminal_has_a_bar_and_no_lines(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    said: list[str] = []
    steps = Steps("training", 40, said.append)
    clock[0] += 100.0
    steps.advance(10, "loss 0.25")
    steps.close()
    assert said == []
    assert "training" in capsys.readouterr().err


def test_lines_while_a_block_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fokker.machine.progress, "LINE_SECONDS", 0.01)
    with minute_lines(lambda: "half of it is done"):
        time.sleep(0.1)
    said = capsys.readouterr().out
    assert said.count("half of it is done\n") >= 2
    time.sleep(0.05)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (59.0, "about 59.0 s, until "),
        (3600.0, "about 60 min, until "),
        (1e5, "about 27.8 h, until "),
        (1e12, "about 11,574,074 days"),
        (1e99, "about "),
    ],
)
def test_an_end_is_said_however_far_it_is(seconds: float, said: str) -> None:
    assert expected_end(seconds).startswith(said)
    assert ("until" in expected_end(seconds)) == ("until" in said)
