"""A training that is stopped in any way goes on exactly where it was, and never on a lie."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny_runs
from fokker.machine.files import read_json
from fokker.store.curves import read_json_lines
from fokker.store.models import ModelFolder
from fokker.training import InterruptedTraining
from fokker.training import data as training_data
from fokker.training.callbacks import Curves, Saving
from fokker.training.ema import EMA
from fokker.training.signals import Stopping

# Saved at other steps than logged, so that blocks begin between saves and sums are under way.
JOB = (
    "trainer.max_steps=40", "callbacks.save_steps=7", "callbacks.validation_steps=15",
    "callbacks.save_seconds=1e6",
)  # fmt: skip

# A process that sends itself a signal at its 13th step, in the middle of the block of 11 to 14.
SIGNAL_IN_STEP_13 = """
import os, signal
from fokker.training import data as training_data
from fokker.training.ema import EMA
training_data.BLOCK_SECONDS = 1e9
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job has it ignored
update = EMA.update
def noted(self, images, batch_size):
    update(self, images, batch_size)
    if images == 13 * batch_size:
        for _ in range({times}):
            os.kill(os.getpid(), {number})
EMA.update = noted
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """The unbroken training; not to be changed."""
    return tiny_runs.train(*JOB, f"output_dir={tmp_path_factory.mktemp('whole')}")[1]


def is_as(folder: ModelFolder, whole: ModelFolder) -> bool:
    """Whether two trainings came to the same, to the bit."""
    state, expected = tiny_runs.trained_state(folder), tiny_runs.trained_state(whole)
    assert folder.is_complete
    assert expected["step"] == 40
    assert tiny_runs.differing(state, expected) == []
    return True


def status(runs: Path) -> list[str]:
    return [read_json(path / "run.json")["status"] for path in sorted(runs.iterdir())]


@pytest.mark.parametrize(
    ("number", "times", "code", "saved", "how"),
    [
        # Killed: the last save counts. Told to end: the block is finished and saved.
        (signal.SIGKILL, 1, -signal.SIGKILL, 7, "running"),
        (signal.SIGTERM, 1, 143, 14, "interrupted"),
        (signal.SIGINT, 1, 130, 14, "interrupted"),
        # Who is impatient gets the last save, since half a block is not a state.
        (signal.SIGINT, 2, 130, 7, "interrupted"),
    ],
)
def test_a_stopped_process_is_continued_to_the_bit(
    workdir: Path, whole: ModelFolder, number: int, times: int, code: int, saved: int, how: str
) -> None:
    plant = SIGNAL_IN_STEP_13.format(number=int(number), times=times)
    child = tiny_runs.process(workdir, *JOB, before=plant)
    out, errors = child.communicate(timeout=300)
    assert child.returncode == code, out + errors
    assert "Traceback" not in errors
    folder = tiny_runs.only_model()
    assert folder.record["status"] == ("training" if how == "running" else "interrupted")
    assert folder.record["step"] == tiny_runs.checkpoint(folder)["global_step"] == saved
    assert not folder.is_complete
    assert status(Path("outputs/runs")) == [how]
    result = tiny_runs.run(*JOB)
    assert read_json(result.path / "run.json")["training"] == "continued"
    assert is_as(folder, whole)
    assert (result.path / "metrics.jsonl").read_text() == whole.curves.read_text()


ANEW = "stopped; the same command makes the run anew, and keeps a model that is trained"
SIGNAL_IN_SAMPLING = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job has it ignored
from fokker.diffusion.formulations import SamplerWay
SamplerWay.sample = lambda *_: os.kill(os.getpid(), {number})
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_process_that_is_stopped_in_its_sampling_says_so(
    workdir: Path, number: int, code: int
) -> None:
    plant = SIGNAL_IN_SAMPLING.format(number=int(number))
    child = tiny_runs.process(workdir, *JOB, before=plant)
    _, errors = child.communicate()
    assert (child.returncode, errors) == (code, f"fokker: {ANEW}\n")
    (run,) = Path("outputs/runs").iterdir()
    assert read_json(run / "run.json")["error"].endswith(f": {ANEW}")
    assert status(Path("outputs/runs")) == ["interrupted"]
    assert tiny_runs.only_model().is_complete


SIGNAL_AT_THE_START = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from fokker.launch import job
job.run_job = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)
"""
SIGNAL_AT_THE_END = """
import atexit, os, signal, sys, time
from fokker.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
def end():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
atexit.register(end)
sys.argv[0] = "fokker"
main()
"""


def test_ctrl_c_before_anything_is_written_leaves_nothing(workdir: Path) -> None:
    child = tiny_runs.process(workdir, *JOB, before=SIGNAL_AT_THE_START)
    _, errors = child.communicate()
    assert (child.returncode, errors) == (130, f"fokker: {ANEW}\n")
    assert list(Path().iterdir()) == []


def test_ctrl_c_when_all_is_done_changes_nothing(workdir: Path) -> None:
    # A process of its own from its start: one that is forked has no such end.
    job = tiny_runs.tiny("network=exact", "evaluation.figures=false")
    command = [sys.executable, "-c", SIGNAL_AT_THE_END, *job]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert status(Path("outputs/runs")) == ["completed"]


# In this process: an interrupt at any place ---------------------------------------------------


def raise_at(
    monkeypatch: pytest.MonkeyPatch, kind: type, name: str, call: int, error: BaseException
) -> None:
    """Let the n-th call of a method raise an error after it has done its work."""
    method, calls = getattr(kind, name), itertools.count(1)

    def planted(self: object, *args: Any, **kwargs: Any) -> Any:
        result = method(self, *args, **kwargs)
        if next(calls) == call:
            raise error
        return result

    monkeypatch.setattr(kind, name, planted)


@pytest.mark.parametrize(
    ("kind", "name", "call"),
    [
        (EMA, "update", 1),  # in the first block of all
        (EMA, "update", 18),
        (EMA, "update", 40),  # in the last
        (Curves, "on_train_batch_start", 6),
        (Curves, "on_train_batch_end", 6),
        (Saving, "on_train_batch_end", 6),
    ],
)
def test_an_interrupt_anywhere_leaves_a_state_that_can_be_continued(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, whole: ModelFolder, kind: type, name: str,
    call: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(training_data, "BLOCK_SECONDS", 1e9)
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        raise_at(patch, kind, name, call, KeyboardInterrupt())
        with pytest.raises(InterruptedTraining) as caught:
            tiny_runs.train(*JOB)
    assert caught.value.code == 130
    assert signal.getsignal(signal.SIGINT) is handler
    folder = tiny_runs.only_model()
    assert folder.record["status"] == "interrupted"
    assert not folder.is_complete
    _, folder = tiny_runs.train(*JOB)
    assert is_as(folder, whole)


def test_an_error_in_a_block_leaves_a_state_that_can_be_continued(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, whole: ModelFolder
) -> None:
    with monkeypatch.context() as patch:
        raise_at(patch, EMA, "update", 18, MemoryError("planted"))
        with pytest.raises(MemoryError, match="planted"):
            tiny_runs.train(*JOB)
    folder = tiny_runs.only_model()
    assert folder.record["status"] == "interrupted"
    tiny_runs.train(*JOB)
    assert is_as(folder, whole)


def test_an_interrupt_after_the_last_step_leaves_a_complete_model(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, whole: ModelFolder
) -> None:
    with monkeypatch.context() as patch:
        raise_at(patch, Saving, "on_train_end", 1, KeyboardInterrupt())
        with suppress(InterruptedTraining):
            tiny_runs.train(*JOB)
    folder = tiny_runs.only_model()
    assert folder.record["step"] == 40
    tiny_runs.train(*JOB)
    assert is_as(folder, whole)


def test_ctrl_c_in_the_last_block_ends_the_run_and_leaves_a_complete_model(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, whole: ModelFolder
) -> None:
    def asked_at_the_end(self: Stopping, trainer: Any, *_: Any) -> None:
        self._signals.asked = signal.SIGINT if trainer.global_step == trainer.max_steps else 0

    monkeypatch.setattr(Stopping, "on_train_batch_end", asked_at_the_end)
    with pytest.raises(KeyboardInterrupt):
        tiny_runs.train(*JOB)
    assert is_as(tiny_runs.only_model(), whole)


def test_an_interrupt_between_blocks_saves_what_is_done(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_data, "MAX_BLOCK_STEPS", 1)
    with monkeypatch.context() as patch:
        raise_at(patch, Saving, "on_train_batch_end", 23, KeyboardInterrupt())
        with pytest.raises(InterruptedTraining):
            tiny_runs.train(*JOB)
    assert tiny_runs.only_model().record["step"] == 23


@pytest.mark.parametrize(
    "overrides",
    [
        ("formulation=ddpm", "data=digits", "optimizer=adamw"),
        ("weighting=learned", "ema.half_lives=[300,5000]", "data.num_points=100"),
    ],
)
def test_everything_that_learns_is_continued(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]
) -> None:
    job = ("data.batch_size=24", *overrides)
    with monkeypatch.context() as patch:
        raise_at(patch, EMA, "update", 18, KeyboardInterrupt())
        with pytest.raises(InterruptedTraining):
            tiny_runs.train(*JOB, *job)
    assert 0 < tiny_runs.only_model().record["step"] < 18
    _, folder = tiny_runs.train(*JOB, *job)
    assert is_as(folder, tiny_runs.train(*JOB, *job, "output_dir=whole")[1])


def test_curves_that_were_cut_off_in_a_line_are_mended(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, whole: ModelFolder
) -> None:
    monkeypatch.setattr(training_data, "BLOCK_SECONDS", 1e9)
    with monkeypatch.context() as patch:
        raise_at(patch, EMA, "update", 18, KeyboardInterrupt())
        with pytest.raises(InterruptedTraining):
            tiny_runs.train(*JOB)
    folder = tiny_runs.only_model()
    step = folder.record["step"]
    assert [row["step"] for row in read_json_lines(folder.curves)] == [5, 10, 15]
    assert step == 14
    with folder.curves.open("a") as handle:
        handle.write(json.dumps({"step": 20, "images": 1, "loss": 17.0}) + "\n")
        handle.write('{"step": 25, "ima')
    _, folder = tiny_runs.train(*JOB)
    assert is_as(folder, whole)


def test_a_process_that_died_after_its_last_step_is_completed(
    workdir: Path, whole: ModelFolder
) -> None:
    """Between the last checkpoint and the word that the model is complete."""
    folder = copy_of(whole)
    folder.write(status="training")
    for path in folder.path.glob("*.safetensors"):
        path.unlink()
    tiny_runs.train(*JOB)
    assert is_as(folder, whole)
    assert len(list(folder.path.glob("*.safetensors"))) == 2


def test_a_folder_without_a_checkpoint_is_begun_anew(workdir: Path, whole: ModelFolder) -> None:
    folder = copy_of(whole)
    folder.checkpoint.unlink()
    tiny_runs.train(*JOB)
    assert is_as(folder, whole)


def copy_of(whole: ModelFolder) -> ModelFolder:
    shutil.copytree(whole.path, Path("outputs/models") / whole.path.name)
    return tiny_runs.only_model()


def test_a_checkpoint_is_replaced_in_one_go(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, whole: ModelFolder
) -> None:
    """A kill while it is written leaves the last one, and no litter that would be taken for it."""
    replaced: list[str] = []
    replace = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if target.name == "last.ckpt" and len(replaced) == 3:
            raise KeyboardInterrupt
        replaced.extend([target.name] if target.name == "last.ckpt" else [])
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises((InterruptedTraining, KeyboardInterrupt)):
            tiny_runs.train(*JOB)
    folder = tiny_runs.only_model()
    assert tiny_runs.checkpoint(folder)["global_step"] == 21
    assert not [name for name in os.listdir(folder.path) if name.endswith(".tmp")]
    _, folder = tiny_runs.train(*JOB)
    assert is_as(folder, whole)


def test_checkpoints_hold_tensors_and_plain_values_alone(workdir: Path) -> None:
    _, folder = tiny_runs.train()
    content = torch.load(folder.checkpoint, weights_only=True)
    assert {"state_dict", "ema", "optimizer_states", "loops", "global_step"} <= content.keys()
    plain = (torch.Tensor, str, int, float, bool, type(None))
    assert [k for k, v in tiny_runs.flat(content).items() if not isinstance(v, plain)] == []
