"""A signal is never lost: it ends a command with its code and a record, whoever swallows it."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any
from unittest import mock

import pytest
from planted import JOB, NO_FIGURES, SEARCH, SWEEP, Said, ended, litter
from torch import nn

import tiny_runs
from children import Child
from fokker.diffusion.formulations import SamplerWay
from fokker.experiment.record import Record
from fokker.machine.files import read_json
from fokker.machine.signals import AT_ONCE, HEARD, Interrupted, Signals
from fokker.metrics import SlicedWasserstein2
from fokker.training.callbacks import Curves
from tiny_runs import TINY

TERM = signal.SIGTERM
OTHERS = [number for number in HEARD if number != signal.SIGINT]


def send(number: int = TERM) -> None:
    os.kill(os.getpid(), number)


def swallowed(number: int = TERM) -> None:
    """As a library does with whatever its callback raises."""
    with suppress(BaseException):
        send(number)


@pytest.fixture(autouse=True)
def as_from_a_terminal() -> Iterator[None]:
    """Signals that mean what they do by default: nohup and `&` let two of them mean nothing."""
    default = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in default.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


# ---- what hears them -------------------------------------------------------------------------


@pytest.mark.parametrize("number", OTHERS)
def test_a_signal_that_was_swallowed_is_raised_again_until_it_is_met(number: int) -> None:
    signals = Signals()
    with signals.heard():
        swallowed(number)
        for _ in range(2):
            with pytest.raises(Interrupted) as caught:
                signals.ask()
            assert caught.value.code == 128 + number
        signals.meet()
        signals.ask()
        send(number)  # A scheduler does not say it once.
        send(TERM)
        assert signals.asked == number


def test_ctrl_c_is_raised_each_time_until_the_end() -> None:
    signals = Signals()
    with signals.heard():
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                send(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                signals.ask()
        signals.meet()
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        signals.end()
        send(signal.SIGINT)
        send(TERM)
        signals.ask()


def test_a_signal_that_is_held_waits_and_a_second_ctrl_c_does_not() -> None:
    signals = Signals()
    with signals.heard():
        with signals.held():
            with signals.held():
                send(signal.SIGINT)
            signals.ask()
            with pytest.raises(KeyboardInterrupt, match=AT_ONCE):
                send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signals.ask()


def test_what_a_signal_has_become_is_the_signal_again() -> None:
    signals = Signals()

    def work(error: BaseException | None) -> None:
        with signals.heard(), signals.held(), signals.raised("in words"):
            swallowed()
            if error is not None:
                raise error

    # What ends the process so has said why.
    with pytest.raises(SystemExit) as told:
        work(SystemExit(128 + TERM))
    assert type(told.value) is SystemExit
    for error in (None, ValueError("of a library"), SystemExit(1), RuntimeError("another")):
        with pytest.raises(Interrupted, match="in words") as caught:
            work(error)
        assert caught.value.code == 128 + TERM
    # A signal that is noted before is raised before anything is begun.
    begun = []
    with signals.heard(), signals.held():
        send()
        with pytest.raises(Interrupted), signals.raised():
            begun.append(1)
    assert begun == []
    with pytest.raises(ValueError, match="own"), signals.heard(), signals.raised():
        raise ValueError("own")


def test_handlers_are_as_before_and_what_was_heard_is_forgotten() -> None:
    signals, before = Signals(), [signal.getsignal(number) for number in HEARD]
    hook = sys.unraisablehook
    with signals.heard():
        with signals.heard():
            swallowed()
        with pytest.raises(Interrupted):  # Of the outer one too.
            signals.ask()
    assert [signal.getsignal(number) for number in HEARD] == before
    assert sys.unraisablehook is hook
    with signals.heard():
        signals.ask()


def test_a_handler_of_somebody_elses_is_left() -> None:
    signals = Signals()
    with (
        mock.patch("signal.getsignal", return_value=signal.SIG_IGN),
        mock.patch("signal.signal") as install,
    ):
        signals.hear()
    heard = {call.args[0] for call in install.call_args_list}
    assert heard == {*HEARD} - {signal.SIGINT, signal.SIGHUP}


# ---- who swallows them -----------------------------------------------------------------------


class _Dying:
    """Whose destructor is at work when the signal comes."""

    def __del__(self) -> None:
        send()


def of_a_destructor(*_: Any) -> None:
    _Dying()
    gc.collect()


#: A method, by its class and name, in whose n-th call a signal is swallowed, and the overrides.
EXACT = ("network=exact", "evaluation.budget_points=0", "sampler.num_steps=3")
SWALLOWING: dict[str, tuple[Any, str, int, tuple[str, ...]]] = {
    "a network in its sampling": (nn.Linear, "forward", 300, JOB),
    "a network in its training": (nn.Linear, "forward", 20, JOB),
    "a sampling": (SamplerWay, "sample", 1, EXACT),
    "a callback": (Curves, "on_train_batch_end", 2, JOB),
    "a metric": (SlicedWasserstein2, "compute", 1, EXACT),
    "the samples": (Record, "samples", 1, EXACT),
    "the last file": (Record, "metrics", 1, EXACT),
}


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("place", "how"),
    [
        *((place, swallowed) for place in SWALLOWING),
        ("a sampling", of_a_destructor),
        ("a callback", of_a_destructor),
    ],
)
def test_a_swallowed_signal_ends_the_run(
    workdir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    place: str,
    how: Callable[[], None],
) -> None:
    kind, name, number, typed = SWALLOWING[place]
    method, calls = getattr(kind, name), []

    def planted(self: Any, *arguments: Any, **others: Any) -> Any:
        calls.append(1)
        if len(calls) == number:
            how()
        return method(self, *arguments, **others)

    monkeypatch.setattr(kind, name, planted)
    with pytest.raises(Interrupted) as caught:
        tiny_runs.run(*typed)
    assert caught.value.code == 128 + TERM
    assert records() == {"runs": ["interrupted"], "models": records()["models"]}
    assert {*records()["models"]} <= {"complete", "interrupted"}
    assert "Exception ignored" not in capfd.readouterr().err
    assert litter() == []


def test_what_a_library_makes_of_a_signal_is_no_failure(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        try:
            send()
        except BaseException as error:
            raise RuntimeError("an error of a library's own") from error

    monkeypatch.setattr(SamplerWay, "sample", failing)
    with pytest.raises(Interrupted):
        tiny_runs.run(*EXACT)
    assert records()["runs"] == ["interrupted"]
    assert list(Path("outputs").rglob("traceback.txt")) == []


@pytest.mark.parametrize("name", ["failed", "note", "_arrays"])
def test_a_signal_while_a_record_is_written_tears_nothing(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The first one comes in the sampling, the others whenever something is written."""
    method, sample = getattr(Record, name), SamplerWay.sample

    def again(self: Record, *arguments: Any, **others: Any) -> Any:
        send()
        method(self, *arguments, **others)
        send()

    def first(*arguments: Any) -> Any:
        if name == "failed":
            send()
        return sample(*arguments)

    monkeypatch.setattr(SamplerWay, "sample", first)
    monkeypatch.setattr(Record, name, again)
    with pytest.raises(Interrupted):
        tiny_runs.run(*EXACT)
    assert records()["runs"] == ["interrupted"]
    assert litter() == []


# ---- at any moment ---------------------------------------------------------------------------

COMMANDS: dict[str, tuple[str, ...]] = {
    "a run": JOB,
    "a sweep": ("-m", "sampler.num_steps=2,3", "trainer.max_steps=6"),
    "a search": (*SEARCH, "hydra.sweeper.n_trials=2"),
}
LONG: dict[str, tuple[str, ...]] = {
    "a run": JOB, "a run with figures": JOB, "a sweep": SWEEP, "a search": SEARCH,
}  # fmt: skip


def _entry(before: str, *words: str) -> None:
    from fokker.__main__ import main

    sys.argv = ["fokker", *words]
    exec(before, {"sys": sys})
    main()


def begin(what: str, typed: tuple[str, ...]) -> Child:
    """The command from its first line on, as its script begins."""
    before = "" if "figures" in what else NO_FIGURES
    return Child(_entry, before, *TINY, *typed, folder=Path.cwd(), env=dict(os.environ))


def seconds_of(what: str, typed: tuple[str, ...], folder: Path) -> float:
    """How long a command takes here and now."""
    before = Path.cwd()
    os.chdir(folder)
    started = monotonic()
    assert ended(begin(what, typed)).code == 0
    os.chdir(before)
    return monotonic() - started


def records() -> dict[str, list[str]]:
    """What all records say, of runs and of models."""
    return {
        kind: sorted(str(read_json(f).get("status")) for f in Path("outputs").rglob(name))
        for kind, name in (("runs", "run.json"), ("models", "model.json"))
    }


def is_done() -> bool:
    """Whether a command has written all that it comes to."""
    if list(Path("outputs").glob("sweeps/*")):
        last = ("sweep.json", "best.yaml")  # Of a sweep, of a search.
        return any(list(Path("outputs").glob(f"sweeps/*/{name}")) for name in last)
    return records()["runs"] == ["completed"]


def is_heeded(process: Child, seconds: float) -> bool:
    """Send SIGTERM after so many seconds: the command has ended, or ends by it with a record."""
    process._process.join(seconds)
    was_done = process.returncode is not None or is_done()
    if process.returncode is None:
        os.kill(process.pid, TERM)
    said = ended(process)
    moment = f"SIGTERM after {seconds:.3f} s: {said}, {records()}"
    if said.code == -TERM:  # Before its first line.
        assert list(Path().iterdir()) == [], moment
        return True
    assert said.code == 128 + TERM or (said.code == 0 and was_done), moment
    return is_in_order(said, moment)


def is_in_order(said: Said, moment: str) -> bool:
    """Whether all that a command has left is whole, and what it said are sentences."""
    assert {*records()["runs"]} <= {"completed", "interrupted"}, moment
    assert {*records()["models"]} <= {"complete", "interrupted"}, moment
    for sweep in Path("outputs").glob("sweeps/*/jobs.json"):
        assert sweep.with_name("results.csv").is_file(), moment
    assert all(any(run.iterdir()) for run in Path("outputs").glob("runs/*")), moment
    assert all(line.startswith(("fokker: ", "warning: ")) for line in said.err.splitlines()), moment
    assert litter() == [], moment
    return True


def shares(what: str, count: int) -> list[float]:
    """Moments of a command's time, each in (0, 1), the same in every session."""
    return [round(Random(f"signal {what} {i}").random(), 3) for i in range(count)]


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("what", "count"), [("a run", 4), ("a sweep", 3), ("a search", 3)])
def test_a_signal_at_a_moment_is_heeded(workdir: Path, what: str, count: int) -> None:
    typed, places = COMMANDS[what], [workdir / str(i) for i in range(count + 1)]
    for place in places:
        place.mkdir()
    seconds = seconds_of(what, typed, places[-1])
    for place, share in zip(places, shares(what, count)):
        os.chdir(place)
        assert is_heeded(begin(what, typed), share * seconds)


# ---- in the middle of composing --------------------------------------------------------------

#: In whose n-th call a signal becomes an error of the library's own; the calls are counted.
PLANTED = """
import os, signal, atexit
from pathlib import Path
from omegaconf.listconfig import ListConfig
setting, calls = ListConfig._set_value_impl, []

def planted(self, *arguments, **others):
    calls.append(1)
    if len(calls) == {number}:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException:
            raise AttributeError("an error of a library's own") from None
    if not {number}:
        Path("calls").write_text(str(len(calls)))
    return setting(self, *arguments, **others)

ListConfig._set_value_impl = planted
"""


@pytest.mark.parametrize("what", COMMANDS)
def test_a_signal_in_composing_is_no_mistake_of_the_users(workdir: Path, what: str) -> None:
    def command(number: int) -> Said:
        before = PLANTED.format(number=number)
        typed = (*TINY, *COMMANDS[what], "task=plan")
        return ended(Child(_entry, before, *typed, folder=workdir, env=dict(os.environ)))

    assert command(0).code == 0
    count = int(Path("calls").read_text())
    Path("calls").unlink()
    for share in (0.1, 0.5, 0.9):
        said = command(int(share * count))
        assert said.code == 128 + TERM, said
        assert said.err.startswith("fokker: stopped;"), said
        assert said.err.count("\n") == 1, said
    assert list(Path().rglob("*.json")) == []


@pytest.fixture(scope="module")
def seconds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], float]]:
    known: dict[str, float] = {}

    def of(what: str) -> float:
        if what not in known:
            known[what] = seconds_of(what, LONG[what], tmp_path_factory.mktemp("seconds"))
        return known[what]

    return of


@pytest.mark.long
@pytest.mark.parametrize(
    ("what", "share"),
    [(w, s) for w, n in zip(LONG, (28, 12, 30, 30)) for s in shares(f"long {w}", n)],
)
def test_a_signal_at_any_moment_is_heeded(
    workdir: Path, seconds: Callable[[str], float], what: str, share: float
) -> None:
    moment = share * seconds(what)
    assert is_heeded(begin(what, LONG[what]), moment)


# 1 s is in the middle of the imports.
@pytest.mark.parametrize(
    "seconds", [1.0, *(pytest.param(s, marks=pytest.mark.long) for s in (0.0, 0.3, 2.0, 3.0, 4.0))]
)
def test_a_signal_while_it_starts_leaves_nothing_or_a_record(workdir: Path, seconds: float) -> None:
    """A process of its own, from before python hears anything."""
    words = [str(Path(sys.executable).with_name("fokker")), *TINY, *JOB, "trainer.max_steps=100000"]
    with subprocess.Popen(words, stdout=-1, stderr=-1, text=True) as process:
        sleep(seconds)
        process.send_signal(TERM)
        out, err = process.communicate(timeout=300)
    said = Said(process.returncode, out, err)
    assert said.code in (128 + TERM, -TERM), said
    if said.code == -TERM:
        assert list(Path().iterdir()) == []
    assert is_in_order(said, f"SIGTERM after {seconds} s: {said}")
