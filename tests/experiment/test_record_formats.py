"""What other versions of fokker wrote: told in one sentence where it is used, listed, deleted."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import fokker
import tiny_runs
from fokker.cli.tasks import carry_out
from fokker.machine.files import checksum, read_json
from fokker.store.inventory import delete, models, models_text
from fokker.store.records import FORMAT, FormatError, read_record
from fokker.store.run_inventory import delete_runs, runs, runs_text
from fokker.sweeps.jobs import Job
from fokker.training.describing import description_of

OUT = Path("outputs")
RUN, MODEL, CHECKPOINT, WEIGHTS = "run.json", "model.json", "last.ckpt", "raw.safetensors"
#: The format that a file says, and how it is told; the first versions said none.
AGES = {None: ("an older", 1), 1: ("an older", 1), 7: ("a newer", 7)}
Change = Callable[[dict[str, Any]], dict[str, Any]]


def of(format: int | None) -> Change:
    """What a file holds, as a version with this format would have written it."""

    def change(content: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in content.items() if key != "format"}
        return kept if format is None else {"format": format, **kept}

    return change


def write(folder: Path, name: str, change: Change) -> None:
    """Let a file of a folder be another version's."""
    file = folder / name
    if file.suffix == ".json":
        file.write_text(json.dumps(change(read_json(file))))
        return
    if name == CHECKPOINT:
        content = torch.load(file, weights_only=True)
        content["fokker"] = json.dumps(change(json.loads(content["fokker"])))
        torch.save(content, file)
    else:
        with safetensors.safe_open(file, "pt") as opened:
            about = json.dumps(change(json.loads(opened.metadata()["fokker"])))
        safetensors.torch.save_file(safetensors.torch.load_file(file), file, {"fokker": about})
    record = read_json(folder / MODEL)
    record["exports"][name] = checksum(file)
    record["checksums"] = [checksum(folder / CHECKPOINT)]
    (folder / MODEL).write_text(json.dumps(record))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one model; not to be changed."""
    place = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for name in ("one", "two"):
            tiny_runs.run(f"hydra.run.dir=outputs/runs/{name}", "trainer.max_steps=2")
    return place


@pytest.fixture
def model(world: Path, workdir: Path) -> Path:
    """The folder of the model in a copy of the world."""
    shutil.copytree(world / OUT, OUT)
    return tiny_runs.only_model().path


def uses(file: str, model: Path) -> dict[str, Callable[[], Any]]:
    """What reads a file, by name."""
    one, longer = OUT / "runs/one", "trainer.max_steps=4"
    given = {RUN: one, MODEL: model, CHECKPOINT: model / CHECKPOINT, WEIGHTS: model / WEIGHTS}[file]
    compose = tiny_runs.compose_experiment
    found: dict[str, Callable[[], Any]] = {
        "load": lambda: fokker.load(given),
        "init_from": lambda: compose(f"init_from={given}"),
        "checkpoint": lambda: compose(f"checkpoint={given}", "trainer.max_steps=2"),
        "run": lambda: fokker.run([f"checkpoint={given}", "evaluation.figures=false"]),
    }
    if file == WEIGHTS:
        return {name: use for name, use in found.items() if name in ("load", "init_from")}
    found["continue_from"] = lambda: compose(f"continue_from={given}", longer)
    if file == RUN:
        found["beside"] = lambda: compose(f"evaluation.beside=[{one}]")
        found["compare"] = lambda: carry_out(
            "compare", ["task=compare", str(OUT / "runs/two"), str(one)], print
        )
    return found


@pytest.mark.parametrize("format", AGES)
@pytest.mark.parametrize("file", [RUN, MODEL, CHECKPOINT, WEIGHTS])
def test_each_use_of_another_version_s_file_says_so_in_one_sentence(
    model: Path, file: str, format: int | None
) -> None:
    folder = OUT / "runs/one" if file == RUN else model
    write(folder, file, of(format))
    before = {path: path.read_bytes() for path in OUT.rglob("*") if path.is_file()}
    age, number = AGES[format]
    again = "run it again in another folder" if file == RUN else "train again"
    said = f"{file} was written by {age} version of fokker (format {number}; this one reads 2)"
    for name, use in uses(file, model).items():
        with pytest.raises(ValueError, match=r"^\S+ was written by") as caught:
            use()
        words = str(caught.value).removeprefix("fokker: ")
        assert words.endswith(f"{said}; use the version that wrote it, or {again}"), name
        assert "\n" not in words
    after = {path: path.read_bytes() for path in OUT.rglob("*") if path.is_file()}
    assert {path: content for path, content in after.items() if path in before} == before


def test_files_without_a_description_are_not_ours(model: Path) -> None:
    content = torch.load(model / CHECKPOINT, weights_only=True)
    del content["fokker"]
    torch.save(content, "old.ckpt")
    with pytest.raises(FormatError, match=r"^old\.ckpt was written by an older version of fokker"):
        fokker.load("old.ckpt")
    safetensors.torch.save_file(safetensors.torch.load_file(model / WEIGHTS), "x.safetensors")
    said = r"nothing in x\.safetensors says what model it is, for it is not fokker's or was written"
    for use in (lambda: fokker.load("x.safetensors"),
                lambda: tiny_runs.compose_experiment("init_from=x.safetensors")):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            use()


def test_a_model_folder_of_another_version_is_neither_used_nor_written(model: Path) -> None:
    write(model, MODEL, of(7))
    before = {path.name: path.read_bytes() for path in model.iterdir() if path.is_file()}
    with pytest.raises(ValueError, match=r"a newer version .* or move it away, or say fokker t"):
        tiny_runs.run("trainer.max_steps=2")
    assert {p.name: p.read_bytes() for p in model.iterdir() if p.is_file()} == before


def test_a_run_s_folder_of_an_older_version_is_not_written_again(model: Path) -> None:
    write(OUT / "runs/one", RUN, of(None))
    with pytest.raises(ValueError, match=r"run\.json was written by an older version of fokker"):
        tiny_runs.run("trainer.max_steps=2", "hydra.run.dir=outputs/runs/one")


@pytest.mark.parametrize("format", AGES)
def test_the_lists_show_them_and_delete_them_by_name(
    model: Path, format: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    age, number = AGES[format]
    words = f"written by {age} version of fokker (format {number}; this one reads 2)"
    old = model.rename(model.with_name("edm-uniform-0123abcd"))
    write(old, MODEL, of(format))
    used = {"model": {"key": old.name, "path": str(old)}}
    for name in ("one", "two"):
        write(OUT / "runs" / name, RUN, lambda content: of(format)({**content, **used}))
    job = OUT / "sweeps/steps-0123abcd/2-0123456789"
    shutil.copytree(OUT / "runs/one", job)
    (found,) = models(OUT)
    assert (found.status, found.steps, found.is_ours) == (words, None, False)
    assert found.runs == (3 if number < FORMAT else 0)
    assert words in models_text([found], OUT)
    listed = {run.name: run for run in runs(OUT)}
    assert {*listed} == {"steps-0123abcd/2-0123456789", "two", "one"}
    assert {run.status for run in listed.values()} == {"of another version"}
    assert runs_text([*listed.values()], OUT).count(words) == 3
    # What a newer one has used is not known, so nothing is taken for unused.
    if number < FORMAT:
        assert delete(OUT, None) == []
    else:
        with pytest.raises(ValueError, match=r"delete=unused must know .* a newer version of fok"):
            delete(OUT, None)
    assert delete_runs(OUT, None) == []
    assert [run.name for run in delete_runs(OUT, ["one", "2-0123456789"])] == [
        "one", "steps-0123abcd/2-0123456789",
    ]  # fmt: skip
    assert [m.name for m in delete(OUT, [old.name])] == [old.name]
    assert (models(OUT), [run.name for run in runs(OUT)]) == ([], ["two"])


@pytest.mark.parametrize("format", AGES)
def test_a_sweep_that_finds_another_version_s_job_says_so(
    model: Path, format: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    def sweep(*words: str) -> None:
        from fokker.cli.main import main

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["fokker", "-m", *tiny_runs.TINY, *words])
            main()

    words = ("trainer.max_steps=2", "hydra.sweep.dir=sweep", "evaluation.figures=false")
    sweep("sampler.num_steps=2,3", *words)
    job, other = sorted(Path("sweep").glob("*/run.json"))
    before = job.read_text()
    job.write_text(json.dumps(of(format)(json.loads(before))))
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        sweep("sampler.num_steps=2,3,4", *words)
    said = f"{end.value.code}\n{capsys.readouterr().err}"
    age, number = AGES[format]
    assert f"{job} was written by {age} version of fokker (format {number}; this one" in said
    assert "Traceback" not in said
    assert sorted(Path("sweep").glob("*/run.json")) == [job, other]


def test_a_job_that_fails_before_it_begins_says_its_format(workdir: Path) -> None:
    from fokker.store.job_folders import record_failure

    path = Path("sweep/2-0123456789")
    record_failure(path, ValueError("planted"), 1.0, overrides=["x=2"])
    assert read_record(path / RUN)["format"] == FORMAT
    assert Job(Path("sweep"), "0123456789", ("x=2",), {"x": "2"}, "2").row()["status"] == "failed"


def test_one_number_stands_in_every_file(model: Path) -> None:
    made = tiny_runs.compose_experiment("trainer.max_steps=2")
    records = (read_json(model / MODEL), read_json(OUT / "runs/one" / RUN))
    written: list[dict[str, Any]] = [json.loads(description_of(made.task)), *records]
    assert [content["format"] for content in written] == [FORMAT] * 3 == [2] * 3
    for content in (written[0]["record"], *records):
        assert content["parts"] == [
            "formulation", "preconditioning", "weighting", "noise_levels", "network",
        ]  # fmt: skip
        assert content["data_groups"] == ["data"]


@pytest.mark.parametrize("value", [-1, "2", 2.0, True, None, [2]])
def test_what_is_no_format_is_damage(workdir: Path, value: Any) -> None:
    Path(RUN).write_text(json.dumps({"format": value, "status": "completed"}))
    with pytest.raises(ValueError, match=r"^run\.json is damaged: format must be a whole"):
        read_record(Path(RUN))
