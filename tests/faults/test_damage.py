"""Files that are cut, empty, of other kinds or of bad bytes: a sentence, a row, or work goes on."""

import json
import os
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import damage
import numpy as np
import pytest
import torch
from damage import OTHER, READ_BY, RUN, TINY, make, survey, wrong_types

import fokker
import tiny_runs
from children import Child
from fokker.machine.disk import DamagedError
from fokker.machine.files import checksum, write_json
from fokker.search.storage import JOURNAL_END
from fokker.store.curves import read_json_lines
from fokker.store.inventory import delete, models, models_text
from fokker.store.models import ModelFolder
from fokker.store.places import find_checkpoint, last_run
from fokker.store.records import read_record, record_or_why
from fokker.store.run_files import read_arrays, read_config, read_table
from fokker.store.run_inventory import delete_runs, runs
from fokker.store.shapes import SHAPES
from fokker.sweeps.jobs import Job
from made_sweeps import Sweep, evaluation, metrics
from tiny_searches import bowl, search

OUT = Path("outputs")


# The whole kind -------------------------------------------------------------------------------


def said_of(folder: Path, work: Callable[..., Any], *words: str) -> list[str]:
    """The lines of a process of its own, which must end well."""
    child = Child(work, *words, folder=folder, env=dict(os.environ))
    out, err = child.communicate(timeout=3000)
    assert child.returncode == 0, err
    return out.splitlines()


def make_runs(folder: str) -> None:
    make(Path(folder), (*TINY, f"hydra.run.dir={RUN}"), (*TINY, f"hydra.run.dir={OTHER}"))


def test_a_damaged_file_of_a_run_or_a_model_is_a_sentence_or_a_row(tmp_path: Path) -> None:
    world = tmp_path / "world"
    world.mkdir()
    said_of(tmp_path, make_runs, str(world))
    light = "models,runs,delete unused,delete failed,prune,compare,load"
    said = said_of(tmp_path, survey, str(world), "case", "/", light, "3", "0.1")
    assert said[-1].endswith(" s")
    assert int(said[-1].split()[0]) > 15
    assert said[:-1] == []


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that there is to be damaged."""
    folder = tmp_path_factory.mktemp("world")
    said_of(folder, make_all, str(folder))
    return folder


def make_all(folder: str) -> None:
    make(Path(folder))


@pytest.mark.long
@pytest.mark.parametrize("file", READ_BY)
def test_so_it_is_with_every_file_and_every_command(world: Path, tmp_path: Path, file: str) -> None:
    said = said_of(tmp_path, survey, str(world), "case", file, "all", "6", "1")
    assert said[:-1] == []
    assert int(said[-1].split()[0]) >= len(READ_BY[file])


# The reader -----------------------------------------------------------------------------------

AXIS = {
    "name": "sigma", "symbol": "s", "label": "noise", "quantity": "loss", "unit": "1",
    "is_log": True,
}  # fmt: skip
MEASURE = {"words": "total variation", "unit": "", "best": "lowest", "is_of_model": False}
RECORD = {
    "format": 2, "parts": ["network"], "data_groups": ["data"],
    "status": "completed", "training": "found", "seconds": 1.5, "overrides": ["seed=1"],
    "formulation": "edm", "data": "uniform", "units": "data units", "error": None,
    "made_of": {"content": "", "source": ""}, "model": {"key": "k", "path": "/p"},
    "versions": {"fokker": "1"}, "axis": AXIS, "measures": {"tv": MEASURE}, "images": 5,
    "swept": {"seed": "1"},
    "sweep": "s", "slurm": {"job": "1", "step": "batch", "restarts": 0}, "nfe": 3.0,
    "files": {"metrics.json": "0"}, "stopped_early": {"step": 1, "max_steps": 2},
}  # fmt: skip
MODEL_RECORD = {
    "format": 2, "status": "complete", "step": 2, "seconds": 1.0, "checksums": ["a"],
    "exports": {"raw.safetensors": "b"}, "overrides": ["seed=1"], "key": "k",
    "made_of": {"content": ""}, "versions": {"fokker": "1"},
}  # fmt: skip
JOBS = {"search": "s", "jobs": [{"key": "t0", "swept": {"a": "1"}, "overrides": ["a=1"]}]}
TRIAL = {"storage": "x", "study": "s", "number": 0, "prune_on": "w1", "pruner": ["median", {}]}
WHOLE = {
    "run.json": RECORD, "model.json": MODEL_RECORD, "metrics.json": {"w1": 0.5, "nan": None},
    "jobs.json": JOBS, "trial.json": TRIAL, "wandb.json": {"id": "abc"},
}  # fmt: skip
#: Wrong types that are none, as these may be left out, be null, or be a text of any kind.
FITTING = ("left out", "=null", "=text", "w1=below 0", "nan=below 0")


def test_every_record_that_is_read_is_tried() -> None:
    assert WHOLE.keys() == SHAPES.keys()


@pytest.mark.parametrize("name", WHOLE)
def test_a_value_of_another_kind_is_refused_by_its_name(workdir: Path, name: str) -> None:
    write_json(Path(name), WHOLE[name])
    assert read_record(Path(name)) == WHOLE[name]
    refused = 0
    for place, content in wrong_types(WHOLE[name]).items():
        write_json(Path(name), content)
        record, why = record_or_why(Path(name))
        if why is not None:
            refused += 1
            assert record == {}
            key = re.split("[.= ]", place)[0] if content else "it"
            is_old = key == "format" and place.endswith("left out")  # As the first versions wrote.
            said = "was written by an older version" if is_old else f"is damaged: {key} "
            assert str(why).startswith(f"{name} {said}")
        else:
            assert place.endswith(FITTING), place
    assert refused >= len(WHOLE[name])


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b"7", b"\xff{}", b"[" * 9999])
def test_what_is_no_json_object_is_refused(workdir: Path, content: bytes) -> None:
    Path("run.json").write_bytes(content)
    with pytest.raises(DamagedError, match=r"^run\.json is damaged: it must .*; bring back"):
        read_record(Path("run.json"))


def test_what_is_no_file_is_no_record(workdir: Path) -> None:
    """A pipe would be waited for."""
    os.mkfifo("run.json")
    os.mkfifo("last.ckpt")
    assert read_record(Path("run.json")) == {}
    with pytest.raises(ValueError, match="no checkpoint at"):
        find_checkpoint(Path())


@pytest.mark.parametrize("key", ["..", ".", "", "a/b", "/etc"])
def test_a_key_in_a_record_leads_nowhere(workdir: Path, key: str) -> None:
    for folder in ("models", "outputs", "a/b", "."):
        Path(folder).mkdir(exist_ok=True, parents=True)
        Path(folder, "last.ckpt").write_text("not ours")
    run = Path("outputs/runs/one")
    run.mkdir(parents=True)
    record = {"format": 2, "status": "completed", "model": {"key": key, "path": "/nowhere"}}
    write_json(run / "run.json", record)
    with pytest.raises(ValueError, match="no checkpoint at"):
        find_checkpoint(run)


def test_arrays_and_tables_are_whole_or_refused(workdir: Path) -> None:
    np.savez_compressed("samples.npz", samples=np.arange(50.0))
    whole = Path("samples.npz").read_bytes()
    assert read_arrays(Path("samples.npz"), "samples")["samples"].tolist() == [*range(50)]
    for place in range(0, len(whole), 3):  # The checksum of a zip's parts sees it.
        changed = bytearray(whole)
        changed[place] ^= 16
        Path("samples.npz").write_bytes(changed)
        try:
            found = read_arrays(Path("samples.npz"), "samples")["samples"].tolist()
        except DamagedError:
            continue
        assert found == [*range(50)]
    np.savez("samples.npz", samples=np.array(["a"]), allow_pickle=False)
    with pytest.raises(DamagedError, match="samples must hold numbers, and holds <U1"):
        read_arrays(Path("samples.npz"))
    for text in ("", ",\n", "a,b\n1\n", "a,b\n1,2,3\n", 'a,b\n"1,2\n'):
        Path("evaluations.csv").write_text(text)
        with pytest.raises(DamagedError, match=r"evaluations\.csv is damaged"):
            read_table(Path("evaluations.csv"))


def test_a_curve_is_what_is_good_of_it(workdir: Path) -> None:
    good = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": None, "levels": [1.0, None]}]
    lines = [json.dumps(row).encode() for row in good]
    bad = [b"null", b"[]", b'{"loss": 1}', b'{"step": "1"}', b'{"step": 3, "loss": "x"}', b"\xff"]
    Path("curve").write_bytes(b"\n".join([lines[0], *bad, lines[1], b'{"step": 3']))
    with pytest.warns(UserWarning, match="curve is damaged, and 6 lines of it left out"):
        assert read_json_lines(Path("curve")) == good
    Path("curve").write_bytes(lines[0] + b'\n{"step": 2')
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_json_lines(Path("curve")) == good[:1]


# Jobs and trials ------------------------------------------------------------------------------


def job(folder: Path) -> tuple[Job, Path]:
    made = Sweep(folder)
    path = made.add({"n": "2"}, metrics(0.5), [evaluation(2, 0.5)])
    known = {name: checksum(path / name) for name in ("metrics.json", "evaluations.csv")}
    write_json(path / "run.json", {**read_record(path / "run.json"), "files": known})
    return made.jobs[0], path


@pytest.mark.parametrize("file", ["run.json", "metrics.json", "evaluations.csv"])
@pytest.mark.parametrize("how", [*damage.ANY, *damage.TEXTS])
def test_a_job_of_a_damaged_record_is_run_again_beside_it(
    workdir: Path, file: str, how: str
) -> None:
    made, path = job(Path("sweep"))
    assert (made.row()["status"], made.row()["w1"]) == ("completed", 0.5)
    content = (path / file).read_bytes()
    changed = damage.damages(file, content, 0)[how]
    (path / file).write_bytes(changed)
    row = made.row()
    if row["status"] == "completed":  # Some bits of run.json change nothing that is used.
        assert (file, how, row["w1"]) == ("run.json", "flipped", 0.5)
        return
    assert row["status"] == "damaged"
    assert row["error"].startswith(f"{file} is damaged: ")
    assert "w1" not in row
    assert made.next_folder == path.with_name(f"{path.name}.2")


def test_a_digit_of_a_finished_run_does_not_change_unseen(workdir: Path) -> None:
    made, path = job(Path("sweep"))
    for name in ("metrics.json", "evaluations.csv"):
        text = (path / name).read_text()
        (path / name).write_text(text.replace("0.5", "0.4"))
        assert made.row()["error"].startswith(f"{name} is damaged: its sha256 is not the one")
        (path / name).write_text(text)
    (path / "metrics.json").unlink()
    assert made.row()["error"] == "metrics.json is damaged: it is not there any more"


SEARCH = ("optimizer.lr=interval(0.0001,0.1)", "network.depth=1,2", "objective=w1")


def folder_of_search() -> Path:
    (folder,) = Path("outputs/sweeps").iterdir()
    return folder


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_a_trial_of_a_damaged_record_is_run_again_with_its_values(
    workdir: Path, storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*SEARCH, f"hydra.sweeper.storage={storage}")
    assert search(bowl, *words, "hydra.sweeper.n_trials=3") == 0
    folder = folder_of_search()
    before = (folder / "results.csv").read_text().splitlines()
    (folder / "t0001/run.json").write_text("null")
    assert search(bowl, *words, "hydra.sweeper.n_trials=4") == 0
    after = (folder / "results.csv").read_text().replace("t0001.2", "t0001").splitlines()
    assert after[: len(before)] == before
    assert read_record(folder / "t0001.2/run.json")["status"] == "completed"
    assert (folder / "t0001/run.json").read_text() == "null"
    # What the first two have said of it stands in the storage, and it goes on.
    capsys.readouterr()
    assert search(bowl, *words, "hydra.sweeper.n_trials=4") == 0
    assert "4 trials (4 of them before)" in capsys.readouterr().out


@pytest.mark.parametrize("file", ["search.db", "search.log"])
@pytest.mark.parametrize("how", ["cut", "bad bytes", "null"])
def test_a_damaged_storage_is_named(
    workdir: Path, capsys: pytest.CaptureFixture[str], file: str, how: str
) -> None:
    storage = "sqlite" if file == "search.db" else "journal"
    words = (*SEARCH, f"hydra.sweeper.storage={storage}")
    assert search(bowl, *words, "hydra.sweeper.n_trials=2") == 0
    place = folder_of_search() / file
    content = damage.damages("search.log", place.read_bytes(), 0)[how]
    place.write_bytes(content)
    capsys.readouterr()
    code = search(bowl, *words, "hydra.sweeper.n_trials=3")
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 1
    assert line.startswith("fokker: ")
    assert file in line
    assert place.read_bytes() == content
    assert (folder_of_search() / "t0001/run.json").is_file()


def test_a_journal_that_names_another_file_is_not_opened(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SQLite would take the file away that it names."""
    words = (*SEARCH, "hydra.sweeper.n_trials=1")
    assert search(bowl, *words) == 0
    victim = Path("mine.txt").resolve()
    victim.write_text("mine")
    name = str(victim).encode()
    total = sum(byte - 256 * (byte > 127) for byte in name) % 2**32
    numbers = (len(name).to_bytes(4, "big"), total.to_bytes(4, "big"))
    end = bytes.fromhex("00000002") + name + b"".join(numbers) + JOURNAL_END
    database = (folder_of_search() / "search.db").read_bytes()
    head = JOURNAL_END + bytes(8) + (len(database) // 4096).to_bytes(4, "big")
    journal = folder_of_search() / "search.db-journal"
    journal.write_bytes(head.ljust(512, b"\0") + end)
    capsys.readouterr()
    assert search(bowl, *words, "hydra.sweeper.n_trials=2") == 1
    assert "search.db-journal is damaged: it names another file" in capsys.readouterr().err
    assert victim.read_text() == "mine"
    journal.unlink()
    database = folder_of_search() / "search.db"
    database.rename("elsewhere.db")
    database.symlink_to(Path("elsewhere.db").resolve())
    assert search(bowl, *words, "hydra.sweeper.n_trials=2") == 1
    assert "search.db is damaged: it is a link" in capsys.readouterr().err


@pytest.mark.parametrize("name", [".search.lock", ".sweep.lock"])
@pytest.mark.parametrize("what", ["a folder", "a link"])
def test_what_is_no_lock_is_a_sentence(
    workdir: Path, capsys: pytest.CaptureFixture[str], name: str, what: str
) -> None:
    words = (*SEARCH, "hydra.sweeper.n_trials=1")
    assert search(bowl, *words) == 0
    lock = folder_of_search() / name
    lock.unlink(missing_ok=True)
    lock.mkdir() if what == "a folder" else lock.symlink_to(Path("mine").resolve())
    capsys.readouterr()
    assert search(bowl, *words, "hydra.sweeper.n_trials=2") == 1
    assert f"{name} cannot be written: " in capsys.readouterr().err
    assert not Path("mine").exists()


# Of what kinds a checkpoint is ------------------------------------------------------------------


def _described(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(checkpoint: dict[str, Any]) -> None:
        description = json.loads(checkpoint["fokker"])
        for part, values in changes.items():
            description[part].update(values)
        checkpoint["fokker"] = json.dumps(description)

    return change


def _each(change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    return lambda c: c.update(state_dict={k: change(w) for k, w in c["state_dict"].items()})


LONGER = "trainer.max_steps=50"
CHANGED: dict[str, Callable[[dict[str, Any]], None]] = {
    "weights: a list": lambda c: c.update(state_dict=[1]),
    "weights: numbers": _each(lambda w: 1),
    "weights: sparse": _each(lambda w: w.to_sparse()),
    "weights: on no device": _each(lambda w: w.to("meta")),
    "averages: a list": lambda c: c.update(ema=[1]),
    "averages: numbers": lambda c: c.update(ema={"ema_50000": {"a": 1}}),
    "optimizer: a text": lambda c: c.update(optimizer_states="x"),
    "optimizer: of texts": lambda c: c.update(
        optimizer_states=[{"state": {0: "x"}, "param_groups": []}]
    ),
    "rates: a text": lambda c: c.update(lr_schedulers="x"),
    "description: deep": lambda c: c.update(fokker="[" * 100_000),
    "description: a huge number": lambda c: c.update(
        fokker=c["fokker"].replace('"scale": ', f'"scale": 1{"0" * 400}, "q": ')
    ),
    "description: of a text": _described(record={"made_of": "x"}),
    "description: overrides": _described(record={"overrides": [1]}),
    "description: a reference": _described(config={"seed": "\\${oc.create:{}}"}),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGED)
def test_the_inside_of_a_checkpoint_is_of_its_kinds(workdir: Path, what: str) -> None:
    _, folder = tiny_runs.train()
    checkpoint = torch.load(folder.checkpoint, weights_only=True)
    CHANGED[what](checkpoint)
    torch.save(checkpoint, "changed.ckpt")
    for ask in (
        lambda: fokker.load("changed.ckpt"),
        *(
            lambda key=key: tiny_runs.compose_experiment(f"{key}=changed.ckpt", LONGER)
            for key in ("checkpoint", "continue_from", "init_from")
            if key != "init_from" or "description" not in what
        ),
    ):
        with pytest.raises(DamagedError, match=r"^changed\.ckpt is damaged: "):
            ask()


def test_a_list_of_trials_may_be_taken_away(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*SEARCH, "hydra.sweeper.n_trials=2")
    assert search(bowl, *words) == 0
    listed = folder_of_search() / "jobs.json"
    content = listed.read_text()
    for wrong in ("", "{}", json.dumps({**json.loads(content), "jobs": [{"key": "t0000"}]})):
        listed.write_text(wrong)
        capsys.readouterr()
        assert search(bowl, *words) == 1
        assert "jobs.json is damaged: " in capsys.readouterr().err
    listed.unlink()
    assert search(bowl, *words) == 0
    assert listed.read_text() == content
    listed.write_text(content.replace('"network.depth": "1"', '"network.depth": "2"'))
    assert search(bowl, *words, "hydra.sweeper.n_trials=3") == 1
    assert "has other values for trial " in capsys.readouterr().err


# Models that are in use elsewhere -------------------------------------------------------------


def model(name: str) -> ModelFolder:
    from fokker import __version__

    folder = ModelFolder(OUT / "models" / name)
    folder.path.mkdir(parents=True)
    folder.write(status="complete", step=1, versions={"fokker": __version__})
    return folder


def a_run(place: str, key: str = "edm-uniform-aaaaaaaa") -> Path:
    path = Path(place)
    path.mkdir(parents=True)
    used = {"key": key, "path": str(OUT / "models" / key)}
    write_json(path / "run.json", {"format": 2, "status": "completed", "model": used})
    return path


def test_a_model_is_kept_for_a_run_elsewhere_while_that_is_there(workdir: Path) -> None:
    used, other = model("edm-uniform-aaaaaaaa"), model("edm-uniform-bbbbbbbb")
    inside, outside = a_run("outputs/runs/one"), a_run("elsewhere/runs/one")
    for _ in range(2):
        used.note_use(inside)
        used.note_use(outside)
    (line,) = filter(None, (used.path / "used_by.jsonl").read_text().splitlines())
    assert json.loads(line) == str(outside.resolve())
    assert {m.name: m.runs for m in models(OUT)} == {used.path.name: 2, other.path.name: 0}
    shutil.rmtree(inside)
    assert [m.name for m in delete(OUT, None)] == [other.path.name]
    # A disk that is not mounted is no folder that was taken away.
    Path("elsewhere").rename("gone")
    assert delete(OUT, None) == []
    Path("gone").rename("elsewhere")
    shutil.rmtree(outside)
    assert [m.name for m in delete(OUT, None)] == [used.path.name]


def test_nothing_is_deleted_as_unused_while_a_record_does_not_tell(workdir: Path) -> None:
    folder = model("edm-uniform-aaaaaaaa")
    bad = a_run("outputs/sweeps/s/one") / "run.json"
    whole = bad.read_text()
    for file, content in ((bad, "null"), (folder.path / "used_by.jsonl", "[\n")):
        file.write_text(content)
        with pytest.raises(ValueError, match=rf"{file.name} is damaged: .*; nothing was deleted$"):
            delete(OUT, None)
        assert f"{file} is damaged: " in models_text(models(OUT), OUT).splitlines()[-1]
        assert folder.path.is_dir()
        bad.write_text(whole)
    assert [m.name for m in delete(OUT, [folder.path.name])] == [folder.path.name]


def test_what_another_has_put_there_is_not_written_through(workdir: Path) -> None:
    folder, run = model("edm-uniform-aaaaaaaa"), a_run("elsewhere/one")
    Path("precious").write_text("kept")
    (folder.path / "used_by.jsonl").symlink_to(Path("precious").resolve())
    folder.note_use(run)
    assert Path("precious").read_text() == "kept"
    (folder.path / "used_by.jsonl").unlink()
    os.mkfifo(folder.path / "used_by.jsonl")
    folder.note_use(run)


def test_one_damaged_run_is_a_row_among_others(workdir: Path) -> None:
    for name in ("a", "b", "c"):
        a_run(f"outputs/runs/{name}")
    a_run("outputs/sweeps/find/t0000")
    (OUT / "sweeps/find/jobs.json").write_text("null")
    (OUT / "runs/b/run.json").write_text('{"format": 2, "status": 3}')
    (OUT / "sweeps/find/t0000/run.json").write_text('{"format": 2, "status": "failed"}')
    found = {run.name: run for run in runs(OUT)}
    assert {name: run.status for name, run in found.items()} == {
        "a": "completed", "b": "damaged", "c": "completed", "find/t0000": "failed",
    }  # fmt: skip
    assert found["b"].overrides.startswith("run.json is damaged: status must be one of ")
    assert delete_runs(OUT, None) == []  # A trial is one by its name.
    os.utime(OUT / "runs/b/run.json", (1, 1))
    assert last_run(OUT) in (OUT / "runs/a", OUT / "runs/c")
    os.utime(OUT / "runs/b/run.json")
    with pytest.raises(DamagedError, match=r"runs/b/run\.json is damaged"):
        last_run(OUT)


def test_a_configuration_of_aliases_is_refused_before_they_are_multiplied(tmp_path: Path) -> None:
    path, bomb = tmp_path / "config.yaml", "a0: &a0 [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]\n"
    for n in range(9):
        bomb += f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n"
    path.write_text(bomb)
    with pytest.raises(DamagedError, match="it must hold no aliases, and has"):
        read_config(path)


def test_a_number_that_is_too_large_is_damage(workdir: Path) -> None:
    """A whole number in JSON may have any number of digits."""
    Path("run.json").write_text(json.dumps({"format": 2, "status": "failed", "seconds": 10**400}))
    with pytest.raises(DamagedError, match=r"^run\.json is damaged: seconds must be a fini"):
        read_record(Path("run.json"))
    Path("metrics.json").write_text(json.dumps({"w1": -(10**400)}))
    with pytest.raises(DamagedError, match=r"^metrics\.json is damaged: w1 must be a number"):
        read_record(Path("metrics.json"))
