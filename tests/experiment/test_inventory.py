"""The table of trained models, and deleting some of them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fokker
import tiny_runs
from fokker.cli.main import main
from fokker.machine.files import write_json
from fokker.store.inventory import Model, delete, models, models_text
from fokker.store.models import ModelFolder
from fokker.store.records import FORMAT
from written import OUT, contents

pytestmark = pytest.mark.usefixtures("workdir")
A, B, C, D = (f"edm-uniform-{digit * 10}" for digit in "abcd")
NOW = 1_790_000_000


def model(name: str, status: str = "complete", step: int = 20, size: int = 1000) -> Path:
    """A model's folder of `size` bytes of weights."""
    path = OUT / "models" / name
    path.mkdir(parents=True)
    end_of_zip = b"PK\x05\x06" + bytes(18)
    (path / "last.ckpt").write_bytes(bytes(size - len(end_of_zip)) + end_of_zip)
    (path / "config.yaml").write_text("seed: 0\ntrainer:\n  max_steps: 50\nx:\n  steps: 3\n")
    record = {"status": status, "step": step, "versions": {"fokker": fokker.__version__}}
    write_json(path / "model.json", {"format": FORMAT, **record})
    return path


def use(name: str | None, folder: str, at: int = NOW) -> None:
    """A run's record that names a model."""
    path = OUT / folder
    path.mkdir(parents=True)
    used = None if name is None else {"key": name, "path": str(OUT / "models" / name)}
    write_json(path / "run.json", {"format": FORMAT, "model": used, "status": "completed"})
    os.utime(path / "run.json", (at, at))


def found() -> dict[str, Model]:
    return {m.name: m for m in models(OUT)}


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["fokker", "task=models", *words])
    main()


# The table -----------------------------------------------------------------------------------


def test_a_real_model_and_its_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_runs.run()
    tiny_runs.run("sampler.num_steps=3")
    tiny_runs.run("network=exact")
    folder = tiny_runs.only_model()
    (only,) = models(OUT)
    assert (only.name, only.status, only.steps, only.runs) == (folder.path.name, "complete", 20, 2)
    assert only.size_bytes == sum(p.stat().st_size for p in folder.path.iterdir())
    assert only.last_use is not None
    assert 0 <= only.age_seconds < 120
    # An interrupted one has a checkpoint, and a record that it is not the last.
    write_json(folder.path / "model.json", {**folder.record, "status": "interrupted", "step": 4})
    assert models(OUT)[0].status == "unfinished at step 4 of 20"
    with folder.lock():
        assert models(OUT)[0].is_held
        assert models(OUT)[0].status == "being trained now, unfinished at step 4 of 20"
    assert not models(OUT)[0].is_held
    capsys.readouterr()
    command(monkeypatch, f"delete=[{folder.path.name[-10:]}]")
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"deleted  {folder.path.name}  0.")
    assert re.fullmatch(r"1 model deleted, 0\.\d MB freed", said[1])
    assert models(OUT) == []
    again = tiny_runs.run()
    assert again.path.is_dir()
    assert ModelFolder(folder.path).is_complete


def test_the_most_recently_used_stand_first_and_the_sum_last() -> None:
    for name, size in ((A, 1_500_000), (B, 2_000_000), (C, 500_000)):
        model(name, size=size)
    use(A, "runs/one", NOW - 500)
    use(A, "sweeps/steps-1234/n=3", NOW - 400)
    use(B, "sweeps/steps-1234/n=4.2", NOW - 450)
    use(B, "runs/two", NOW - 300)
    use(None, "runs/exact")
    write_json(OUT / "runs/exact/other.json", {"model": {"key": C}})
    (OUT / "runs/broken").mkdir()
    (OUT / "runs/broken/run.json").write_text("{")
    listed = models(OUT)
    assert [(m.name, m.runs, m.last_use) for m in listed] == [
        (B, 2, NOW - 300), (A, 2, NOW - 400), (C, 0, None),
    ]  # fmt: skip
    lines = models_text(listed, OUT).splitlines()
    heads = ["name", "status", "steps", "MB", "age", "last", "use", "runs", "overrides"]
    assert lines[0].split() == heads
    assert re.fullmatch(rf"{B}  complete +20  2\.0 +\d+ s +\d+ \w+ ago +2", lines[1])
    assert re.fullmatch(rf"{C}  complete +20  0\.5 +\d+ s +never +0", lines[3])
    assert lines[4] == "3 models in outputs/models, 4.0 MB"
    (unread,) = lines[5:]
    assert unread.startswith("outputs/runs/broken/run.json is damaged: it must hold JSON")


def test_what_is_not_a_finished_model_of_this_version() -> None:
    model(A, status="training", step=7)
    model(B, status="diverged", step=8)
    model(C)
    old = {"format": FORMAT, "status": "complete", "step": 20, "versions": {"fokker": "0.0.1"}}
    write_json(OUT / "models" / C / "model.json", old)
    (model(D) / "last.ckpt").unlink()
    cut = model("edm-uniform-cut") / "last.ckpt"
    cut.write_bytes(cut.read_bytes()[:-1])
    (OUT / "models/mine").mkdir()
    (OUT / "models/file.txt").write_text("no folder")
    for name, text in (("text", "hello"), ("list", "[1]"), ("empty", "{}"), ("other", '{"a": 1}')):
        (OUT / "models" / name).mkdir()
        (OUT / "models" / name / "model.json").write_text(text)
    states = {name: (m.status, m.steps, m.is_ours) for name, m in found().items()}
    foreign = ("not a model of fokker's: no model.json that can be read", None, False)
    assert states == {
        A: ("unfinished at step 7 of 50", 7, True),
        B: ("diverged at step 8 of 50", 8, True),
        C: ("complete, of fokker 0.0.1", 20, False),
        D: ("unfinished at step 0 of 50", 0, True),
        "edm-uniform-cut": ("damaged: its last.ckpt cannot be read", 20, True),
        "mine": foreign,
        "text": ("damaged: it must hold JSON, and holds none: Expecting value: line 1 column 1 "
                 "(char 0)", None, False),
        "list": ("damaged: it must hold a JSON object, and holds [1]", None, False),
        "empty": ("damaged: it holds nothing", None, False),
        "other": foreign,
    }


def test_no_models_at_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command(monkeypatch, "output_dir=elsewhere")
    said = "0 models in elsewhere/models, 0.0 MB: there is no such folder\n"
    assert capsys.readouterr().out == said
    command(monkeypatch, "delete=unused")
    assert capsys.readouterr().out == "0 models deleted, 0.0 MB freed\n"
    assert list(Path().iterdir()) == []


# Deleting ------------------------------------------------------------------------------------


def test_models_are_deleted_by_name_and_by_key() -> None:
    for name in (A, B, C):
        model(name)
    use(A, "runs/one")
    gone = delete(OUT, [A, "bbbbbbbbbb", A])
    assert [m.name for m in gone] == [A, B]
    assert [p.name for p in (OUT / "models").iterdir() if p.suffix != ".lock"] == [C]
    # Not by a part of the name, nor by a place.
    for name in ("cccc", "000000cccc", "cccccccccc/..", "..", "edm-uniform", "", "CCCCCCCCCC"):
        with pytest.raises(ValueError, match="is not one; fokker task=models lists them"):
            delete(OUT, [name])
    assert list(found()) == [C]


def test_nothing_is_deleted_if_one_name_is_unknown_or_one_model_is_held() -> None:
    for name in (A, B):
        model(name)
    before = contents()
    with pytest.raises(ValueError, match="models of outputs/models, got nothing, which"):
        delete(OUT, [A, "nothing"])
    with ModelFolder(OUT / "models" / B).lock():
        with pytest.raises(ValueError, match=f"that no process trains now, got {B};") as caught:
            delete(OUT, [A, B])
        assert "\n" not in str(caught.value)
        assert contents() == before
    delete(OUT, [A, B])
    assert found() == {}


def test_a_lock_of_another_process_holds_and_a_dead_ones_does_not() -> None:
    model(A)
    lock = ModelFolder(OUT / "models" / A).lock().lock_file
    code = (
        "import sys, filelock\n"
        "held = filelock.FileLock(sys.argv[1]).acquire()\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert found()[A].is_held
        with pytest.raises(ValueError, match="that no process trains now"):
            delete(OUT, [A])
        assert delete(OUT, None) == []
    finally:
        process.kill()
        process.communicate()
    assert not found()[A].is_held
    assert [m.name for m in delete(OUT, None)] == [A]


def test_unused_are_those_of_no_run_and_of_this_version_alone() -> None:
    model(A)
    model(B, status="interrupted", step=3)
    model(C)
    model(D)
    model("old-uniform-eeeeeeeeee")
    file = OUT / "models/old-uniform-eeeeeeeeee/model.json"
    written = {"format": FORMAT, "versions": {"fokker": "0.0.1"}}
    write_json(file, {**written, "status": "complete", "step": 20})
    (OUT / "models/mine").mkdir()
    (OUT / "models/mine/thesis.txt").write_text("years of work")
    # Used by a run that is done, and by the job of a sweep; the second's was begun again.
    use(C, "runs/one")
    use(D, "sweeps/study/job")
    model(f"{D}.retrain", status="training")
    assert {m.name for m in delete(OUT, None)} == {A, B}
    assert set(found()) == {C, D, f"{D}.retrain", "old-uniform-eeeeeeeeee", "mine"}
    assert (OUT / "models/mine/thesis.txt").is_file()
    # By its name each of them can go.
    delete(OUT, ["mine", "old-uniform-eeeeeeeeee", "dddddddddd"])
    assert list(found()) == [C]


def test_a_retraining_holds_the_model_and_itself() -> None:
    for name in (A, f"{A}.retrain"):
        model(name)
    with ModelFolder(OUT / "models" / A).lock():
        assert all(m.is_held for m in models(OUT))
        for name in (A, f"{A}.retrain", "aaaaaaaaaa"):
            with pytest.raises(ValueError, match="that no process trains now"):
                delete(OUT, [name])
    assert len(delete(OUT, ["aaaaaaaaaa"])) == 2


def test_a_deletion_that_was_cut_off_is_finished_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model(A)
    model(B)

    def cut_off(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", cut_off)
        with pytest.raises(KeyboardInterrupt):
            delete(OUT, [A])
    assert list(found()) == [B]
    assert not (OUT / "models" / A).exists()
    delete(OUT, [B])
    assert not [p for p in (OUT / "models").iterdir() if p.is_dir()]


def test_a_link_is_taken_away_and_not_what_it_leads_to() -> None:
    model(A)
    Path("kept").mkdir()
    (OUT / "models" / A).rename("kept/model")
    (OUT / "models" / A).symlink_to(Path("kept/model").resolve())
    assert [m.name for m in delete(OUT, ["aaaaaaaaaa"])] == [A]
    assert Path("kept/model/last.ckpt").is_file()
    assert [p.suffix for p in (OUT / "models").iterdir()] == [".lock"]


# The command ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sampler=heun"], "task=models does not know sampler=heun; say fokker task=models"),
        (["unused"], "task=models does not know unused;"),
        (["-m"], "task=models does not know -m;"),
        (["--delete=unused"], "task=models does not know --delete=unused;"),
        (["--delete", "unused"], "task=models does not know --delete;"),
        (["--"], "task=models does not know --;"),
        (["delete="], "delete must be unused or a list of names, got none;"),
        (["delete=[]"], "delete must be unused or a list of names, got none;"),
        (["delete=[unused,x]"], "delete must list models of outputs/models, got unused, which"),
    ],
)
def test_what_it_does_not_know_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    sentence: str,
) -> None:
    model(A)
    before = contents()
    with pytest.raises(SystemExit) as caught:
        command(monkeypatch, *words)
    assert caught.value.code == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"fokker: {sentence}")
    assert len(said.err.splitlines()) == 1
    assert said.out == ""
    assert contents() == before


def test_words_may_be_quoted_and_spaced(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (A, B, C):
        model(name)
    command(monkeypatch, f"delete=['{A}', \"{B}\"]", "output_dir='outputs'")
    assert list(found()) == [C]
    command(monkeypatch, f"delete={C}")
    assert found() == {}


def test_it_answers_at_once_and_without_torch() -> None:
    for index in range(30):
        model(f"edm-uniform-{index:08x}", status="interrupted")
    lines = [
        "import sys",
        "from fokker.cli.main import main",
        "sys.argv = ['fokker', 'task=models']",
        "main()",
        "print(sorted({'torch', 'lightning', 'numpy'} & set(sys.modules)), file=sys.stderr)",
    ]
    code = "\n".join(lines)
    seconds = []
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        out, err = (stream.read() for stream in (process.stdout, process.stderr) if stream)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        assert "30 models in outputs/models" in out
        assert err == "[]\n"
        seconds.append(usage.ru_utime + usage.ru_stime)
    assert min(seconds) < 1
