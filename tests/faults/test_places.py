"""Where a run is to write and how it is watched: what cannot be is refused before any work."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import planted
import pytest
from planted import (
    JOB,
    SWEEP,
    child,
    command,
    ended,
    is_same,
    litter,
    model,
    refused,
    run_state,
    start,
    sweep_state,
)

from fokker.machine.files import read_json
from tiny_runs import TINY

Undisturbed = Callable[..., dict[str, Any]]
# Whoever runs this may be root, to whom modes say nothing.
READ_ONLY = """
import os
from pathlib import Path
access = os.access
def denied(path, mode, **options):
    return not Path(path).resolve().is_relative_to("{place}") and access(path, mode, **options)
os.access = denied
"""
NO_WORK = """
import fokker.training.fit
def worked(*_): raise AssertionError("a training was begun")
fokker.training.fit._begin = worked
"""


# ---- places ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "typed"),
    [
        ("outputs", ()),
        ("outputs/models", ()),
        pytest.param("outputs", SWEEP, marks=pytest.mark.long),
        pytest.param("outputs/models", SWEEP, marks=pytest.mark.long),
    ],
)
def test_a_folder_that_cannot_be_written_is_refused_before_any_work(
    workdir: Path, place: str, typed: tuple[str, ...]
) -> None:
    Path(place).mkdir(parents=True)
    leave = planted.mounted(Path(place), "ro")
    before = "" if leave else READ_ONLY.format(place=Path(place).resolve())
    said = command(*JOB, *typed, before=before + NO_WORK)
    if leave:
        leave()
    assert refused(said, f"fokker: {place} cannot be written: ", "let it be written, or give anoth")
    found = {p for p in Path("outputs").rglob("*") if p.is_file() and p.suffix != ".lock"}
    # A sweep finds out in its first job that it can have no models.
    assert found == set() or (typed and {p.parts[1] for p in found} == {"sweeps"})


@pytest.mark.parametrize(
    "place",
    [
        "outputs",
        *(pytest.param(f"outputs/{n}", marks=pytest.mark.long) for n in ("models", "runs")),
    ],
)
def test_a_file_where_a_folder_has_to_be_is_refused_and_left(workdir: Path, place: str) -> None:
    Path(place).parent.mkdir(exist_ok=True)
    Path(place).write_text("mine")
    said = command(*JOB, before=NO_WORK)
    assert refused(said, f"fokker: {place} cannot be written: Not a directory; move away what")
    assert Path(place).read_text() == "mine"


@pytest.mark.long
def test_a_link_to_nothing_is_refused(workdir: Path) -> None:
    Path("outputs").symlink_to("nowhere")
    assert refused(command(*JOB), "fokker: outputs cannot be written: Not a directory; move away")


@pytest.mark.parametrize("name", ["a b/öütputs 数", pytest.param("linked", marks=pytest.mark.long)])
def test_any_folder_does(workdir: Path, undisturbed: Undisturbed, name: str) -> None:
    Path("real").mkdir()
    Path("linked").symlink_to("real")
    said = command(*JOB, f"output_dir='{name}'")
    assert (said.code, said.err) == (0, "")
    assert f"model    trained: {name}/models/" in said.out
    assert is_same(run_state(name), undisturbed(*JOB))


@pytest.mark.long
def test_another_disk_does(disk: str, undisturbed: Undisturbed) -> None:
    """The run's folder on one, the models on another."""
    assert command(*JOB, "hydra.run.dir=elsewhere/mine").code == 0
    Path("outputs/runs").mkdir()
    Path("outputs/runs/mine").symlink_to(Path("elsewhere/mine").resolve())
    assert is_same(run_state(), undisturbed(*JOB))


def test_a_folder_that_is_taken_away_in_a_training_ends_it_in_a_sentence(
    workdir: Path, undisturbed: Undisturbed
) -> None:
    plant = """
import shutil
from fokker.training.callbacks import Saving
saving = Saving.on_train_batch_end
def gone(self, trainer, *arguments):
    saving(self, trainer, *arguments)
    if trainer.global_step == 14:
        shutil.rmtree("outputs")
Saving.on_train_batch_end = gone
"""
    said = command(*JOB, before=plant)
    assert refused(said, "/metrics.jsonl cannot be written: No such file", "is gone; bring")
    assert command(*JOB).code == 0
    assert is_same(run_state(), undisturbed(*JOB))


# ---- who watches -----------------------------------------------------------------------------

HANG_UP = """
import os, signal
from fokker.training import data as training_data
from fokker.training.ema import EMA
training_data.BLOCK_SECONDS = 1e9
signal.signal(signal.SIGHUP, signal.{handler})
update = EMA.update
def noted(self, images, batch_size):
    update(self, images, batch_size)
    if images == 13 * batch_size:
        os.kill(os.getpid(), signal.SIGHUP)
EMA.update = noted
"""


def test_a_closed_terminal_lets_the_training_save(workdir: Path, undisturbed: Undisturbed) -> None:
    said = command(*JOB, before=HANG_UP.format(handler="SIG_DFL"))
    assert said.code == 128 + signal.SIGHUP
    assert said.err == "fokker: stopped, saved at step 14 of 40; the same command goes on there\n"
    assert model().record["step"] == 14
    assert command(*JOB).code == 0
    assert is_same(run_state(), undisturbed(*JOB))


@pytest.mark.long
def test_a_closed_terminal_ends_a_sweep_with_its_table(
    workdir: Path, undisturbed: Undisturbed
) -> None:
    typed = ("-m", "formulation=ddpm,edm", "trainer.max_steps=20")
    said = command(*JOB, *typed, before=HANG_UP.format(handler="SIG_DFL"))
    assert said.code == 128 + signal.SIGHUP
    assert "0 completed (0 of them before), 0 failed, 1 interrupted, 1 not run" in said.out
    assert command(*JOB, *typed).code == 0
    assert is_same(sweep_state(), undisturbed(*JOB, *typed, state=sweep_state))


@pytest.mark.long
def test_nohup_means_it(workdir: Path, undisturbed: Undisturbed) -> None:
    said = command(*JOB, before=HANG_UP.format(handler="SIG_IGN"))
    assert (said.code, said.err) == (0, "")
    assert is_same(run_state(), undisturbed(*JOB))


@pytest.mark.parametrize(
    "streams", [pytest.param(("stdout",), marks=pytest.mark.long), ("stdout", "stderr")]
)
def test_nobody_has_to_listen(
    workdir: Path, undisturbed: Undisturbed, streams: tuple[str, ...]
) -> None:
    """As with `fokker | head -1`."""
    process = start(*JOB, before="import time; time.sleep(0.3)")
    for name in streams:
        getattr(process, name).close()
    assert process.wait() == 0
    assert is_same(run_state(), undisturbed(*JOB))


@pytest.mark.long
@pytest.mark.parametrize("full", [1, 2])
def test_what_is_said_may_go_to_a_full_disk(
    workdir: Path, undisturbed: Undisturbed, full: int
) -> None:
    plant = f"import os; os.dup2(os.open('/dev/full', os.O_WRONLY), {full})"
    assert command(*JOB, before=plant).code == 0
    assert is_same(run_state(), undisturbed(*JOB))


# ---- surroundings ----------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C", "LANG": "C"},
        {"PYTHONIOENCODING": "ascii", "HOME": "/nonexistent", "TMPDIR": "/nonexistent"},
        {"HOME": "/proc"},
    ],
    ids=str,
)
def test_a_poor_environment_is_enough(
    workdir: Path, undisturbed: Undisturbed, env: dict[str, str]
) -> None:
    """From the first import on, with figures and a folder whose name is not ASCII."""
    program = str(Path(sys.executable).with_name("fokker"))
    done = subprocess.run(
        [program, *TINY, *JOB, "output_dir='öütputs'"],
        env={**os.environ, **env},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert is_same(run_state("öütputs"), undisturbed(*JOB))


@pytest.mark.long
def test_no_shared_memory_is_needed(workdir: Path, undisturbed: Undisturbed) -> None:
    """An own view of the files, in which /dev/shm cannot be written; else, none is opened."""
    program = str(Path(sys.executable).with_name("fokker"))
    words = " ".join(f"'{word}'" for word in (program, *TINY, *JOB))
    hide = f"mount -t tmpfs -o ro,size=4k tmpfs /dev/shm && exec {words}"
    done = subprocess.run(["unshare", "-m", "sh", "-c", hide], capture_output=True)
    if b"unshare" in done.stderr or b"mount" in done.stderr:
        plant = """
def shared(event, arguments):
    if event == "open" and str(arguments[0]).startswith("/dev/shm"):
        raise PermissionError("/dev/shm")
sys.addaudithook(shared)
"""
        assert command(*JOB, before=plant).code == 0
    else:
        assert (done.returncode, done.stderr) == (0, b"")
    assert is_same(run_state(), undisturbed(*JOB))


def test_what_a_terminal_has_no_letters_for_ends_nothing(workdir: Path) -> None:
    plant = """
import io
out = io.BufferedWriter(io.FileIO(1, "w", closefd=False))
sys.stdout = io.TextIOWrapper(out, encoding="ascii", write_through=True)
"""
    said = command(*JOB, "output_dir='öütputs'", before=plant)
    assert (said.code, said.err) == (0, "")
    assert r"record   \xf6\xfctputs/runs/" in said.out
    assert model("öütputs").is_complete


@pytest.mark.long
def test_files_of_the_users_alone_stay_so(workdir: Path, undisturbed: Undisturbed) -> None:
    assert command(*JOB, before="import os; os.umask(0o077)").code == 0
    modes = {p.stat().st_mode & 0o777 for p in Path("outputs").rglob("*") if p.is_file()}
    assert modes == {0o600}
    assert command(*JOB, "sampler=ddim", before="import os; os.umask(0o077)").code == 0
    assert litter() == []


@pytest.mark.long
def test_a_command_from_another_folder_finds_its_model(
    workdir: Path, undisturbed: Undisturbed
) -> None:
    assert command(*JOB).code == 0
    place = Path("outputs").resolve()
    Path("other").mkdir()
    os.chdir("other")
    said = ended(child(*TINY, *JOB, "evaluation.figures=false", f"output_dir={place}"))
    assert said.code == 0
    runs = [read_json(run / "run.json")["training"] for run in (place / "runs").iterdir()]
    assert sorted(runs) == ["found", "trained"]
