"""A disk that is full, at whatever file: one sentence, and afterwards the same command goes on."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from planted import (
    FULL,
    JOB,
    SEARCH,
    SWEEP,
    WATCHED,
    Said,
    child,
    command,
    ended,
    is_same,
    litter,
    model,
    refused,
    run_state,
    status,
    sweep_state,
)

from tiny_runs import TINY, checkpoint

Undisturbed = Callable[..., dict[str, Any]]
REMEDY = {
    "mounted": "No space left on device; free space there; then the same command goes on",
    "limited": "File too large; raise the limit on the size of files (ulimit -f); then the same",
}


def space_is_back() -> None:
    Path("outputs/ballast").unlink(missing_ok=True)


def full(disk: str, pattern: str, number: int, *typed: str) -> Said:
    plant = FULL.format(disk=disk, pattern=pattern, number=number) + WATCHED
    return command(*typed, before=plant)


# A checkpoint is opened twice to be saved: to be written, and to be synchronised.
FILES = [
    ("a later checkpoint", r"\.last\.ckpt\.tmp", 5, "last.ckpt", 14),
    ("samples", r"\.samples\.npz\.tmp", 1, "samples.npz", 40),
]
MORE_FILES = [
    ("the model's record", r"\.model\.json\.tmp", 9, "model.json", 14),
    ("the training curves", r"models/.*/metrics\.jsonl", 5, "metrics.jsonl", 21),
    ("the first checkpoint", r"\.last\.ckpt\.tmp", 1, "last.ckpt", 0),
    ("its synchronisation", r"\.last\.ckpt\.tmp", 6, "model.json", 21),
    ("the first record", r"\.run\.json\.tmp", 1, "run.json", None),
    ("the configuration", r"runs/.*\.config\.yaml\.tmp", 1, "config.yaml", None),
    ("the model's configuration", r"models/.*\.config\.yaml\.tmp", 1, "config.yaml", 0),
    ("weights", r"\.raw\.safetensors\.tmp", 1, "raw.safetensors", 40),
    ("averaged weights", r"\.ema_50000\.safetensors\.tmp", 1, "ema_50000.safetensors", 40),
    ("the run's curves", r"runs/.*\.metrics\.jsonl\.tmp", 1, "metrics.jsonl", 40),
    ("metrics", r"\.metrics\.json\.tmp", 1, "metrics.json", 40),
    ("evaluations", r"\.evaluations\.csv\.tmp", 1, "evaluations.csv", 40),
    ("the last record", r"\.run\.json\.tmp", 9, "run.json", 40),
]


def goes_on(disk: str, pattern: str, number: int, name: str, saved: int | None) -> bool:
    if pattern.startswith("models/.*/metrics"):
        disk = "limited"  # A line more may fit into the last page of a file on a full disk.
    said = full(disk, pattern, number, *JOB)
    assert refused(said, f"/{name} cannot be written: {REMEDY[disk]}")
    assert litter() == []
    (run,) = Path("outputs/runs").iterdir()
    assert status(run) in ("interrupted", "running", "None")
    if saved is not None:
        # The record may not have heard of the last save.
        folder = model()
        assert (checkpoint(folder)["global_step"] if saved else folder.steps_done) == saved
        assert model().is_complete == (saved == 40 and "safetensors" not in name)
    space_is_back()
    said = command(*JOB)
    assert (said.code, said.err) == (0, "")
    return True


@pytest.mark.parametrize(("what", "pattern", "number", "name", "saved"), FILES)
def test_a_run_goes_on_when_there_is_space_again(
    disk: str, undisturbed: Undisturbed, what: str, pattern: str, number: int, name: str, saved: int
) -> None:
    assert goes_on(disk, pattern, number, name, saved)
    assert is_same(run_state(), undisturbed(*JOB))


@pytest.mark.long
@pytest.mark.parametrize("disk_is", ["as it can be", "limited"])
@pytest.mark.parametrize(("what", "pattern", "number", "name", "saved"), MORE_FILES)
def test_so_it_does_at_every_file(
    disk: str, undisturbed: Undisturbed, disk_is: str, what: str, pattern: str, number: int,
    name: str, saved: int | None,
) -> None:  # fmt: skip
    assert goes_on("limited" if disk_is == "limited" else disk, pattern, number, name, saved)
    assert is_same(run_state(), undisturbed(*JOB))


@pytest.mark.long
def test_a_table_of_the_curves_that_cannot_be_written_is_all_that_is_not_there(disk: str) -> None:
    """It comes last, when the record is whole, and so says what the curves in it say."""
    said = full(disk, r"\.metrics\.csv\.tmp", 1, *JOB)
    assert refused(said, f"/metrics.csv cannot be written: {REMEDY[disk]}")
    assert litter() == []
    (run,) = Path("outputs/runs").iterdir()
    assert status(run) == "completed"
    assert model().is_complete
    assert (run / "metrics.jsonl").read_text() == model().curves.read_text()


@pytest.mark.long
@pytest.mark.parametrize("number", [1, 6])
def test_a_figure_that_cannot_be_written_ends_the_run(disk: str, number: int) -> None:
    typed = (*TINY, *JOB)
    plant = FULL.format(disk=disk, pattern=r"figures/\.", number=number) + WATCHED
    assert refused(ended(child(*typed, before=plant)), "figures/", REMEDY[disk])
    assert litter() == []
    space_is_back()
    assert ended(child(*typed)).code == 0


@pytest.mark.parametrize("number", [pytest.param("ENOSPC", marks=pytest.mark.long), "EDQUOT"])
def test_a_quota_is_a_full_disk(workdir: Path, undisturbed: Undisturbed, number: str) -> None:
    """Where no disk has one, the system's answer is planted."""
    plant = f"""
import errno, os
from pathlib import Path
replace = Path.replace
def full(self, target):
    if target.name == "last.ckpt" and Path("outputs/models").is_dir():
        raise OSError(errno.{number}, os.strerror(errno.{number}))
    return replace(self, target)
Path.replace = full
"""
    said = command(*JOB, before=plant)
    where = "in your quota" if getattr(errno, number) == errno.EDQUOT else "there"
    assert refused(said, "/last.ckpt cannot be written", f"free space {where}; then the same")
    assert litter() == []
    assert command(*JOB).code == 0
    assert is_same(run_state(), undisturbed(*JOB))


# ---- sweeps and searches -------------------------------------------------------------------

SWEEPS = [
    ("a checkpoint in a search", SEARCH, r"\.last\.ckpt\.tmp", 3, "last.ckpt"),
    ("results", SWEEP, r"\.results\.csv\.tmp", 1, "results.csv"),
    ("jobs", SWEEP, r"\.jobs\.json\.tmp", 1, "jobs.json"),
    ("a checkpoint", SWEEP, r"\.last\.ckpt\.tmp", 3, "last.ckpt"),
    ("the count", SWEEP, r"\.sweep\.json\.tmp", 1, "sweep.json"),
    ("a trial", SEARCH, r"\.trial\.json\.tmp", 3, "trial.json"),
    ("the best", SEARCH, r"\.best\.yaml\.tmp", 1, "best.yaml"),
    ("samples in a search", SEARCH, r"\.samples\.npz\.tmp", 3, "samples.npz"),
    ("a journal", (*SEARCH, "hydra.sweeper.storage=journal"), r"search\.log$", 6, "search.log"),
]


def sweep_goes_on(disk: str, typed: tuple[str, ...], pattern: str, number: int, name: str) -> bool:
    if pattern == r"search\.log$":
        disk = "limited"  # As above.
    said = full(disk, pattern, number, *typed)
    # What a job of its own says stands there too.
    assert refused(said, f"/{name} cannot be written: {REMEDY[disk]}")
    assert litter() == []
    space_is_back()
    said = command(*typed)
    assert (said.code, said.err) == (0, "")
    return True


@pytest.mark.long
@pytest.mark.parametrize(("what", "typed", "pattern", "number", "name"), SWEEPS)
def test_a_sweep_goes_on_when_there_is_space_again(
    disk: str, undisturbed: Undisturbed, what: str, typed: tuple[str, ...], pattern: str,
    number: int, name: str,
) -> None:  # fmt: skip
    assert sweep_goes_on(disk, typed, pattern, number, name)
    assert is_same(sweep_state(), undisturbed(*typed, state=sweep_state))


@pytest.mark.long
@pytest.mark.parametrize("call", ["_ask", "_tell"])
def test_a_database_that_cannot_grow_ends_a_search_and_not_its_trials(
    disk: str, undisturbed: Undisturbed, call: str
) -> None:
    plant = f"""
from fokker.search.trials import Trials
original = Trials.{call}
def planted(self, it):
    if (it if isinstance(it, int) else int(it.key[1:])) == 1:
        fill()
    return original(self, it)
Trials.{call} = planted
"""
    before = FULL.format(disk=disk, pattern="database", number=1) + plant
    # Nor can what it has come to; the last of the two is said.
    assert refused(command(*SEARCH, before=before), " cannot be written: ")
    space_is_back()
    assert command(*SEARCH).code == 0
    assert is_same(sweep_state(), undisturbed(*SEARCH, state=sweep_state))
