"""The table of runs, deleting some of them, and deleting their samples."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fokker.cli.main import main
from fokker.machine.locks import held
from fokker.store.inventory import models, models_text
from fokker.store.job_folders import job_lock
from fokker.store.listing import listed
from fokker.store.model_uses import uses_of
from fokker.store.records import FORMAT
from fokker.store.run_inventory import Run, delete_runs, prune_samples, runs, runs_text
from written import OUT, contents

pytestmark = pytest.mark.usefixtures("workdir")
NOW = 1_790_000_000
SWEEP = "steps-0123abcdef"
MODEL = "edm-uniform-aaaaaaaaaa"


def run(
    place: str, status: str = "completed", at: int = NOW, samples: int = 0, **facts: Any
) -> Path:
    """A run's folder below outputs, with so many bytes of samples."""
    path = OUT / place
    path.mkdir(parents=True)
    record = {"status": status, "model": {"key": MODEL}, "overrides": ["seed=1"], **facts}
    (path / "run.json").write_text(json.dumps({"format": FORMAT, **record}))
    if status == "completed":
        (path / "metrics.json").write_text('{"num_steps": 5, "sliced_w2": 0.25}')
    if samples:
        (path / "samples.npz").write_bytes(bytes(samples))
    os.utime(path / "run.json", (at, at))
    return path


def found() -> dict[str, Run]:
    return {run.name: run for run in runs(OUT)}


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["fokker", "task=runs", *words])
    main()


# The table -----------------------------------------------------------------------------------


def test_runs_and_jobs_stand_in_one_table_the_newest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    run("runs/one-aaaaaaaaaa", at=NOW - 300, samples=2_000_000)
    overrides = ["hydra.run.dir=x", "data=uniform", "+hydra.x=1", "seed=2"]
    run("runs/two-bbbbbbbbbb", "failed", NOW - 100, overrides=overrides, model=None)
    run("runs/exact-cccccc", at=NOW - 400, training="exact")
    run(f"sweeps/{SWEEP}/ddpm-0.5-0123456789", "failed", NOW - 250)
    run(f"sweeps/{SWEEP}/ddpm-0.5-0123456789.2", at=NOW - 200, samples=1000)
    run(f"sweeps/{SWEEP}/ddpm-0.5-0123456789.10", "running", at=NOW - 210)
    (OUT / "runs/empty").mkdir()
    (OUT / "sweeps" / SWEEP / "figures").mkdir()
    listed = [r for r in runs(OUT) if r.name != "empty"]
    job = f"{SWEEP}/ddpm-0.5-0123456789"
    assert [(r.name, r.status) for r in listed] == [
        ("two-bbbbbbbbbb", "failed"), (job, "killed"), ("one-aaaaaaaaaa", "completed"),
        ("exact-cccccc", "completed"),
    ]  # fmt: skip
    assert [len(r.folders) for r in listed] == [1, 3, 1, 1]
    assert [r.model for r in listed] == ["", MODEL, MODEL, "exact"]
    assert found()["empty"].status == "no run.json"
    lines = runs_text(listed, OUT).splitlines()
    assert lines[0].split() == ["time", "name", "status", "MB", "metric", "model", "overrides"]
    assert lines[1].split("  ")[-1] == "data=uniform seed=2"
    assert f"  ddpm-0.5-0123456789  killed     0.0                  {MODEL}  [{SWEEP}]" in lines[2]
    assert f"one-aaaaaaaaaa       completed  2.0  sliced_w2 0.25  {MODEL}  seed=1" in lines[3]
    assert lines[-1] == "4 runs in outputs, 2.0 MB"


def test_a_line_ends_where_the_terminal_does(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("name", "overrides"), ("a", "x" * 100)]
    monkeypatch.setenv("COLUMNS", "40")
    assert [len(line) for line in listed(rows, ())] == [15, 40]
    assert listed(rows, ())[1].endswith("x…")
    monkeypatch.setenv("COLUMNS", "0")
    monkeypatch.setattr(sys, "__stdout__", None)
    assert listed(rows, ())[1].endswith("x" * 100)


# Deleting ------------------------------------------------------------------------------------


def test_runs_are_deleted_by_name_and_by_the_digits_at_their_end() -> None:
    for place in ("runs/one-aaaaaaaaaa", "runs/two-bbbbbbbbbb", f"sweeps/{SWEEP}/0123456789"):
        run(place)
    for attempt in ("", ".2"):
        run(f"sweeps/{SWEEP}/5-abcdef0123{attempt}")
    names = ["one-aaaaaaaaaa", "abcdef0123", "0123456789", "aaaaaaaaaa"]
    gone = [r.name for r in delete_runs(OUT, names)]
    assert gone == ["one-aaaaaaaaaa", f"{SWEEP}/5-abcdef0123", f"{SWEEP}/0123456789"]
    assert list(found()) == ["two-bbbbbbbbbb"]
    assert not list(OUT.rglob(".deleted*"))
    for name in ("bbbb", "bbbbbb/..", "..", "two", "", "BBBBBB"):
        with pytest.raises(ValueError, match="which is not one; fokker task=runs lists them"):
            delete_runs(OUT, [name])
    for sweep in ("a", "b"):
        run(f"sweeps/{sweep}/5-abcdef0123")
    with pytest.raises(ValueError, match="the name of 2: a/5-abcdef0123, b/5-abcdef0123; nothing"):
        delete_runs(OUT, ["abcdef0123"])
    delete_runs(OUT, ["b/5-abcdef0123"])
    assert set(found()) == {"two-bbbbbbbbbb", "a/5-abcdef0123"}


def test_nothing_is_deleted_of_what_a_process_holds_or_a_search_was_told() -> None:
    one, two = run("runs/one-aaaaaaaaaa", "failed"), run("runs/two-bbbbbbbbbb", "running")
    job = run(f"sweeps/{SWEEP}/5-abcdef0123", "interrupted")
    trial = run("sweeps/lr-1111111111/t0000", "failed")
    (trial.parent / "jobs.json").write_text('{"search": "lr-1111111111", "jobs": []}')
    before = contents()
    sentence = "no process is at work on, got {}; wait for it or stop it, nothing was deleted"
    with held(one), pytest.raises(ValueError, match=sentence.format("one-aaaaaaaaaa")):
        delete_runs(OUT, ["two-bbbbbbbbbb", "one-aaaaaaaaaa"])
    with held(two):
        assert found()["two-bbbbbbbbbb"].status == "running"
        with pytest.raises(ValueError, match=sentence.format("two-bbbbbbbbbb")):
            delete_runs(OUT, ["one-aaaaaaaaaa", "two-bbbbbbbbbb"])
    with job_lock(job), pytest.raises(ValueError, match=sentence.format(f"{SWEEP}/5-abcdef0123")):
        delete_runs(OUT, None)
    with pytest.raises(ValueError, match="t0000, a trial that its search has told to Optuna; not"):
        delete_runs(OUT, ["t0000"])
    assert contents() == before
    # Without its process a run was killed, and a trial is not among what failed.
    gone = {r.name for r in delete_runs(OUT, None)}
    assert gone == {"one-aaaaaaaaaa", "two-bbbbbbbbbb", f"{SWEEP}/5-abcdef0123"}
    assert list(found()) == ["lr-1111111111/t0000"]


def test_a_deletion_that_was_cut_off_is_finished_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run("runs/one-aaaaaaaaaa")
    run("runs/two-bbbbbbbbbb")

    def cut_off(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", cut_off)
        with pytest.raises(KeyboardInterrupt):
            delete_runs(OUT, ["one-aaaaaaaaaa"])
    assert list(found()) == ["two-bbbbbbbbbb"]
    delete_runs(OUT, ["two-bbbbbbbbbb"])
    assert list((OUT / "runs").iterdir()) == []


def test_samples_of_completed_runs_are_deleted_and_nothing_else() -> None:
    run("runs/one-aaaaaaaaaa", samples=3000)
    run(f"sweeps/{SWEEP}/5-abcdef0123", samples=500)
    # What failed keeps the samples that show why, and what is held is not touched.
    failed = run("runs/two-bbbbbbbbbb", "failed", samples=70)
    busy = run("runs/three-cccccc", samples=11)
    before = contents()
    with held(busy):
        assert prune_samples(OUT) == (2, 3500)
    gone = {"outputs/runs/one-aaaaaaaaaa", f"outputs/sweeps/{SWEEP}/5-abcdef0123"}
    assert set(before) - set(contents()) == {f"{place}/samples.npz" for place in gone}
    assert (failed / "samples.npz").stat().st_size == 70
    assert found()["one-aaaaaaaaaa"].status == "completed"
    assert prune_samples(OUT) == (1, 11)
    assert prune_samples(OUT) == (0, 0)


# The command ---------------------------------------------------------------------------------


def test_the_command_lists_deletes_and_prunes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("runs/one-aaaaaaaaaa", samples=1_500_000)
    run("runs/two-bbbbbbbbbb", "diverged")
    command(monkeypatch)
    assert capsys.readouterr().out.endswith("2 runs in outputs, 1.5 MB\n")
    command(monkeypatch, "prune=samples")
    assert capsys.readouterr().out == (
        "samples of 1 completed run deleted, 1.5 MB freed; metrics, tables and figures are kept\n"
    )
    command(monkeypatch, "delete=failed")
    assert capsys.readouterr().out == (
        "deleted  two-bbbbbbbbbb  0.0 MB\n1 run deleted, 0.0 MB freed\n"
    )
    command(monkeypatch, "output_dir=elsewhere")
    assert capsys.readouterr().out == "0 runs in elsewhere, 0.0 MB: there is no such folder\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sampler=heun"], "task=runs does not know sampler=heun; say fokker task=runs"),
        (["-m"], "task=runs does not know -m;"),
        (["delete="], "delete must be failed or a list of names, got none;"),
        (["delete=[failed,x]"], "delete must list runs of outputs, got failed, which is not one;"),
        (["prune="], "prune must be samples, got nothing;"),
        (["prune=models"], "prune must be samples, got models;"),
        (["prune=samples", "delete=failed"], "task=runs takes one of delete and prune, got both;"),
    ],
)
def test_what_it_does_not_know_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    sentence: str,
) -> None:
    run("runs/one-aaaaaaaaaa", "failed", samples=5)
    before = contents()
    with pytest.raises(SystemExit) as caught:
        command(monkeypatch, *words)
    assert caught.value.code == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"fokker: {sentence}")
    assert len(said.err.splitlines()) == 1
    assert said.out == ""
    assert contents() == before


def test_it_answers_without_torch() -> None:
    run("runs/one-aaaaaaaaaa")
    code = (
        "import sys; from fokker.cli.main import main; sys.argv = ['fokker', 'task=runs']; main();"
        "print(sorted({'torch', 'lightning', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


# ---- links ---------------------------------------------------------------------------------


def test_nothing_is_deleted_through_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    run(f"sweeps/{SWEEP}/job", samples=10)
    run("runs/mine", samples=10)
    for place, name in (("runs", "mine"), ("sweeps", SWEEP)):
        elsewhere.mkdir(exist_ok=True)
        (OUT / place / name).rename(elsewhere / name)
        (OUT / place / name).symlink_to(elsewhere / name)
    assert prune_samples(OUT) == (0, 0)
    with pytest.raises(ValueError, match=r"lies behind the link .*; delete it where it is"):
        delete_runs(OUT, [f"{SWEEP}/job"])
    assert len(list(elsewhere.rglob("samples.npz"))) == 2


def test_a_model_of_a_linked_run_is_used_and_a_lost_record_is_said(tmp_path: Path) -> None:
    place = run("runs/mine").rename(tmp_path / "mine")
    (OUT / "runs" / "mine").symlink_to(place)
    used, unread = uses_of(OUT, [])
    assert (list(used), unread) == ([MODEL], [])
    (place / "run.json").unlink()
    (place / "run.json").symlink_to("nowhere")
    used, (why,) = uses_of(OUT, [])
    assert used == {}
    assert "run.json is damaged: it is a link that leads to no file" in str(why)


def test_a_table_holds_no_codes_for_the_terminal() -> None:
    run("runs/a", overrides=["seed=\x1b[2J", "x=\u202e"])
    text = runs_text(runs(OUT), OUT)
    assert "seed=\\x1b" in text
    assert all(line.isprintable() for line in text.splitlines())


# ---- of others -----------------------------------------------------------------------------


def test_a_folder_that_may_not_be_read_is_a_row_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    run("runs/mine")
    sealed = {run("runs/sealed"), run(f"sweeps/{SWEEP}/job"), OUT / "models" / MODEL}
    (OUT / "models" / MODEL).mkdir(parents=True)
    sealed |= {run("sweeps/theirs-0123abcdef/job").parent}
    stat, names = Path.stat, os.listdir

    def refuse(path: Any) -> None:
        if any(folder == path or folder in Path(path).parents for folder in sealed):
            raise PermissionError(13, "Permission denied", str(path))

    def stat_of(path: Path, **words: Any) -> os.stat_result:
        if path not in sealed:  # Which itself may be seen.
            refuse(path)
        return stat(path, **words)

    def listed(path: Any = ".") -> list[str]:
        refuse(path)
        return names(path)

    monkeypatch.setattr(Path, "stat", stat_of)
    monkeypatch.setattr(os, "listdir", listed)
    there = {name: (r.status, r.overrides) for name, r in found().items()}
    assert there.pop("mine") == ("completed", "seed=1")
    assert {name for name, _ in there.items()} == {"sealed", f"{SWEEP}/job", "theirs-0123abcdef"}
    for status, why in there.values():
        assert status == "unread"
        assert why.endswith(" cannot be read: Permission denied")
    (one,) = models(OUT)
    assert (one.status, one.runs) == ("cannot be read: Permission denied", 1)
    assert "unread" in runs_text(runs(OUT), OUT)
    assert "Permission denied" in models_text([one], OUT)
