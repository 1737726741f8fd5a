"""Trainings that a limit ends early: in use as they are, and gone on with exactly."""

import itertools
from pathlib import Path
from typing import Any

import pytest

import tiny_runs
from fokker.launch.job import plan
from fokker.machine.files import read_json
from fokker.store.models import ModelFolder
from fokker.training.limits import Limits

JOB = ("trainer.max_steps=40", "callbacks.save_steps=7", "callbacks.save_seconds=1e6",
       "callbacks.validation_steps=10")  # fmt: skip
BY_STEPS = "trainer.limit_train_batches=13"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return tiny_runs.train(*JOB, f"output_dir={tmp_path_factory.mktemp('whole')}")[1]


def is_as(folder: ModelFolder, whole: ModelFolder) -> bool:
    states = [tiny_runs.trained_state(f) for f in (folder, whole)]
    assert states[1]["step"] == 40
    return folder.is_complete and tiny_runs.differing(*states) == []


@pytest.mark.long
def test_a_run_with_a_limit_of_steps_is_a_whole_one(
    workdir: Path, whole: ModelFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    first = tiny_runs.run(*JOB, BY_STEPS)
    folder, said = tiny_runs.only_model(), capsys.readouterr().out
    assert "stopped early at step 13 of 40 by trainer.limit_train_batches=13; the same" in said
    record = folder.record
    assert (record["status"], record["step"], record["images"]) == ("stopped early", 13, 13 * 256)
    assert tiny_runs.checkpoint(folder)["global_step"] == 13
    assert {p.stem for p in folder.path.glob("*.safetensors")} == {"raw", "ema_50000"}
    run = read_json(first.path / "run.json")
    assert (run["status"], run["training"]) == ("completed", "trained")
    assert run["stopped_early"] == {"step": 13, "max_steps": 40}
    # The same command, and one with a smaller limit, find it as it is.
    written = folder.checkpoint.stat().st_mtime_ns
    second = tiny_runs.run(*JOB, BY_STEPS)
    assert read_json(second.path / "run.json")["training"] == "found"
    assert second.metrics == first.metrics
    assert "found: stopped early at step 13 of 40" in plan(
        tiny_runs.compose_experiment(*JOB, "trainer.limit_train_batches=5")
    )
    assert folder.checkpoint.stat().st_mtime_ns == written
    # A larger one goes on, and none to the end, as if nothing had been.
    tiny_runs.train(*JOB, "trainer.limit_train_batches=0.5")
    assert (folder.steps_done, folder.is_complete) == (20, False)
    tiny_runs.train(*JOB)
    assert is_as(folder, whole)
    # Where there is a complete model a limit ends nothing.
    tiny_runs.train(*JOB, BY_STEPS)
    assert is_as(folder, whole)


@pytest.mark.long
def test_a_limit_of_time_counts_all_that_was_trained(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, whole: ModelFolder
) -> None:
    by_time = (*JOB, "trainer.max_time=01:00:00:00")
    clock = itertools.count(0, 30_000)  # A day has 86,400 s: three looks behind the first.
    with monkeypatch.context() as patch:
        patch.setattr("fokker.training.limits.monotonic", lambda: float(next(clock)))
        _, folder = tiny_runs.train(*by_time)
        steps = folder.steps_done
        assert 3 <= steps < 40
        assert folder.record["status"] == "stopped early"
        assert folder.seconds == 86_400
        tiny_runs.train(*by_time)
        assert folder.steps_done == steps
        tiny_runs.train(*JOB, "trainer.max_time={days: 1, hours: 1}")
        assert steps < folder.steps_done < 40
    tiny_runs.train(*JOB)
    assert is_as(folder, whole)


def test_a_model_that_was_interrupted_behind_the_limit_is_used(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(metrics: dict[str, Any], step: int) -> None:
        if step == 20:
            raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        tiny_runs.train(*JOB, listener=stop)
    folder = tiny_runs.only_model()
    assert (folder.record["status"], folder.steps_done) == ("interrupted", 14)
    tiny_runs.train(*JOB, BY_STEPS)
    assert (folder.record["status"], folder.steps_done) == ("stopped early", 14)
    assert folder.record["images"] == 14 * 256
    assert len(list(folder.path.glob("*.safetensors"))) == 2


@pytest.mark.long
def test_training_again_begins_anew(workdir: Path, whole: ModelFolder) -> None:
    _, folder = tiny_runs.train(*JOB, BY_STEPS)
    started: list[int] = []
    tiny_runs.train(*JOB, "retrain=true", listener=lambda row, step: started.append(step))
    assert started[0] == 5
    assert is_as(folder, whole)


@pytest.mark.long
def test_it_may_be_gone_on_from(workdir: Path) -> None:
    _, folder = tiny_runs.train(*JOB, BY_STEPS)
    further = (*JOB, f"continue_from={folder.path}")
    _, other = tiny_runs.train(*further, "trainer.limit_train_batches=20")
    assert (other.record["continued_at"], other.steps_done) == (13, 20)
    assert folder.steps_done == 13
    with pytest.raises(ValueError, match=r"limit_train_batches=13 must be above the 13 steps"):
        tiny_runs.compose_experiment(*further, BY_STEPS)


@pytest.mark.parametrize(
    ("time", "limit", "expected"),
    [
        (None, None, (None, None)),
        ("00:00:01:30", 100, (100, 90.0)),
        ("02:00:00:00", 0.25, (625, 172_800.0)),
        ({"hours": 1, "seconds": 5}, 1, (1, 3_605.0)),
        (None, 1.0, (None, None)),
        (None, 1e-9, (1, None)),
        (None, 4_000, (None, None)),
    ],
)
def test_limits_are_read(time: Any, limit: Any, expected: tuple[Any, Any]) -> None:
    made = Limits.of(2_500, time, limit)
    assert (made.steps, made.seconds) == expected
    steps, seconds = (value or 10**9 for value in expected)
    assert not made.are_reached(steps - 1, seconds - 1)
    assert made.are_reached(steps, 0) is (expected[0] is not None)
    assert made.are_reached(0, seconds) is (expected[1] is not None)


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("trainer.limit_train_batches=0", "must be a number of optimizer steps, .* got 0"),
        ("trainer.limit_train_batches=-3", "got -3"),
        ("trainer.limit_train_batches=1.5", "got 1.5"),
        ("trainer.limit_train_batches=all", "must be a whole number, a number or null, got all"),
        ("trainer.max_time=60", r"such as 00:01:30:00 or \{hours: 1, minutes: 30\}, .* got 60"),
        ("trainer.max_time=01:30", "got 01:30"),
        ("trainer.max_time=00:00:00:00", "more than nothing, got 00:00:00:00"),
        ("trainer.max_time={weeks: 1}", "got .*weeks"),
        ("trainer.max_time={hours: x}", "got .*hours"),
        ("retrain=true", "retrain=true does not go with trainer.limit_train_batches=13"),
    ],
)
def test_what_is_no_limit_is_refused(override: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        tiny_runs.compose_experiment(*JOB, BY_STEPS, override)
