"""Every key with bad values: they work, or one sentence with the key says why not."""

import math
import sys
from contextlib import suppress
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from bad_values import VALUES, Case, Harness, said_well

from fokker.cli.main import main
from fokker.config.option_words import as_typed
from fokker.experiment import run as run_experiment
from fokker.training import DivergedError
from tiny_runs import TINY

pytestmark = pytest.mark.usefixtures("workdir")
#: Two jobs, of which none can be.
SWEEP = ["-m", "evaluation.figures=true,false"]
#: Values by which a run would take too long, and how many of the others are run.
LONG, RUNS = ("large", "huge", "int64", "huge fraction"), 40


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Harness:
    return Harness(tmp_path_factory.mktemp("bad"))


def faults(harness: Harness, cases: list[Case]) -> list[str]:
    found = ((case, harness.outcome(case)) for case in cases)
    return [f"{case}: {text}" for case, text in found if text.startswith("FAULT")]


def test_300_bad_values_are_refused_by_their_key_or_work(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(harness.folder)
    cases = list(harness.cases())
    assert len({case.key for case in cases}) > 150
    # Of each key one, of each kind as many: all of them would take half an hour.
    # A step without a factor of the number of kinds meets all of them.
    steps = range(len(cases) // 300, 0, -1)
    chosen = cases[:: next(n for n in steps if math.gcd(n, len(VALUES)) == 1)][:300]
    assert {case.kind.strip("[]") for case in chosen} == {*VALUES}
    assert not faults(harness, chosen)


@pytest.mark.long
def test_all_bad_values_of_all_keys_are_refused_by_their_key_or_work(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(harness.folder)
    assert not faults(harness, list(harness.cases()))


@pytest.mark.long
def test_what_is_accepted_runs_or_ends_in_a_sentence(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(harness.folder)
    short = [case for case in harness.cases() if case.kind.strip("[]") not in LONG]
    accepted = [case for case in short[::5] if harness.outcome(case) == "accepted"]
    monkeypatch.chdir(tmp_path)
    np.save("points.npy", np.load(harness.folder / "points.npy"))
    with mock.patch.object(sys.modules["fokker.experiment.run"], "draw_figures"):
        for number, case in enumerate(accepted[:: max(1, len(accepted) // RUNS)]):
            with suppress(ValueError, DivergedError):  # Sentences, of too large numbers.
                found = run_experiment(harness.built(case), Path(f"run{number}"), lambda text: None)
                assert torch.isfinite(found.samples).all(), case


def typed_by(capfd: pytest.CaptureFixture[str], *overrides: str) -> tuple[object, str]:
    """The exit code of a command line that trains nothing, and what it says on stderr."""
    with (
        mock.patch.object(sys, "argv", ["fokker", *TINY, *overrides]),
        mock.patch("fokker.launch.job.run_experiment"),
    ):
        try:
            main()
            code: object = 0
        except SystemExit as ended:
            code = ended.code
    return code, capfd.readouterr().err


@pytest.mark.parametrize(
    ("first", "key", "kind"),
    [
        ([], "ema.half_lives", "dict of"),
        (SWEEP, "network.width", "newline"),
        (SWEEP, "sampler.num_steps", "zero"),
    ],
)
def test_a_command_line_says_it_in_one_sentence_and_writes_nothing(
    first: list[str], key: str, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, err = typed_by(capfd, *first, f"{key}={as_typed(VALUES[kind])}")
    assert code == 1
    text = err.removeprefix("fokker: ").rstrip("\n")
    assert said_well(text, key) == text
    assert "Traceback" not in err
    assert list(Path().iterdir()) == []
