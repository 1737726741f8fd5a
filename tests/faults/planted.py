"""Commands as processes of their own, with a fault in them, and what has to be there at the end."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tiny_runs
from children import Child
from fokker.cli.main import main
from fokker.machine.files import read_json
from fokker.store.models import ModelFolder

#: Saved at other steps than logged.
JOB = (
    "trainer.max_steps=40", "callbacks.save_steps=7", "callbacks.validation_steps=20",
    "callbacks.save_seconds=1e6", "sampler.num_steps=3", "evaluation.budget_points=0",
)  # fmt: skip
SWEEP = ("-m", "formulation=ddpm,edm", "sampler.num_steps=2,3", "trainer.max_steps=6")
SEARCH = (
    "-m", "hydra/sweeper=fokker_search", "hydra.sweeper.n_trials=3", "objective=w1",
    "optimizer.lr=interval(0.001,0.1)", "trainer.max_steps=6",
)  # fmt: skip
#: Of a row of results.csv, what may differ between one start and several.
STATE = ("seconds", "folder", "training")

# From the n-th time on that a file whose path has a pattern is opened for writing, nothing can be
# written: a real disk that is filled up, or a limit on the size of files, for which nobody needs
# rights.
FULL = """
import os, re, resource
opened = []
def fill(event="open", arguments=("{pattern}", "", 1)):
    if event != "open" or not isinstance(arguments[0], (str, os.PathLike)):
        return
    if not arguments[2] & os.O_ACCMODE or not re.search(r"{pattern}", os.fspath(arguments[0])):
        return
    opened.append(1)
    if len(opened) == {number}:
        if "{disk}" == "limited":
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            return
        ballast = os.open("outputs/ballast", os.O_WRONLY | os.O_CREAT)
        for size in (2**16, 2**10, 1):
            try:
                while True:
                    os.write(ballast, bytes(size))
            except OSError:
                pass
        os.close(ballast)
"""
WATCHED = "\nsys.addaudithook(fill)\n"


@dataclass
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def start(*typed: str, before: str = "", env: dict[str, str] | None = None) -> Child:
    """`fokker` with the tiny job and these words, in the current folder, without figures."""
    return child(*tiny_runs.TINY, *typed, before=f"{NO_FIGURES}\n{before}", env=env)


def child(*words: str, before: str = "", env: dict[str, str] | None = None) -> Child:
    """`fokker` with these words, in the current folder."""
    return Child(_command, before, *words, folder=Path.cwd(), env={**os.environ, **(env or {})})


NO_FIGURES = """
import fokker.sweeps.grid
fokker.sweeps.grid.draw_results = lambda *_: []
import fokker.search.results
fokker.search.results.Results.draw = lambda *_: []
sys.modules["fokker.experiment.run"].draw_figures = lambda *_: None
"""


def _command(before: str, *words: str) -> None:
    sys.argv = ["fokker", *words]
    names: dict[str, Any] = {"sys": sys}
    exec(before, names)
    main()


def ended(process: Child) -> Said:
    out, err = process.communicate()
    assert process.returncode is not None
    return Said(process.returncode, out, err)


def command(*typed: str, before: str = "", env: dict[str, str] | None = None) -> Said:
    """The same, to its end."""
    return ended(start(*typed, before=before, env=env))


def refused(said: Said, *parts: str) -> bool:
    """Whether a command ended as it should where something cannot be done: in one sentence."""
    assert said.code == 1, said
    (line,) = said.err.splitlines()
    assert line.startswith("fokker: ")
    for part in parts:
        assert part in line, line
    return True


# ---- what is there at the end ----------------------------------------------------------------


def model(outputs: str | Path = "outputs") -> ModelFolder:
    return tiny_runs.only_model(outputs)


def last_run(outputs: str | Path = "outputs") -> Path:
    """The run that is completed."""
    (path,) = (p for p in Path(outputs, "runs").iterdir() if status(p) == "completed")
    return path


def status(run: Path) -> str:
    return str(read_json(run / "run.json").get("status"))


def run_state(outputs: str | Path = "outputs") -> dict[str, Any]:
    """All that a run has come to: the model's state, the samples, the metrics."""
    folder, path = model(outputs), last_run(outputs)
    assert folder.is_complete
    with np.load(path / "samples.npz") as content:
        samples = content["samples"].tobytes()
    exported = {p.name: p.read_bytes() for p in folder.path.glob("*.safetensors")}
    assert len(exported) == 2
    files = {name: (path / name).read_text() for name in ("metrics.jsonl", "evaluations.csv")}
    files["evaluations.csv"] = files["evaluations.csv"].rpartition(",")[0]  # the seconds
    metrics = read_json(path / "metrics.json")
    return {
        **tiny_runs.trained_state(folder), **exported, **files, "samples": samples,
        "csv": (path / "metrics.csv").read_text(), **metrics,
    }  # fmt: skip


def sweep_state(outputs: str | Path = "outputs") -> dict[str, Any]:
    """All that a sweep or a search has come to: its rows, and the weights of its models."""
    (folder,) = Path(outputs, "sweeps").iterdir()
    with (folder / "results.csv").open() as handle:
        rows = [{k: v for k, v in r.items() if k not in STATE} for r in csv.DictReader(handle)]
    models = [ModelFolder(p) for p in Path(outputs, "models").iterdir() if p.is_dir()]
    assert all(model.is_complete for model in models)
    states = {model.path.name: tiny_runs.trained_state(model) for model in models}
    return {**tiny_runs.flat(rows), **tiny_runs.flat(states)}


def is_same(state: dict[str, Any], undisturbed: dict[str, Any]) -> bool:
    """Whether two commands came to the same, to the bit."""
    assert len(undisturbed) > 10
    assert not tiny_runs.differing(state, undisturbed), tiny_runs.differing(state, undisturbed)
    return True


def litter(outputs: str | Path = "outputs") -> list[str]:
    """Temporary files where work goes on, which is not the folder of a run that was killed.

    Nor is it so where the kill came behind the record, in the copy of the curve as CSV.
    """
    known = (".lock", ".metrics.csv.tmp")
    found = [p for p in Path(outputs).rglob(".*") if not p.name.endswith(known)]
    return [str(p) for p in found if status(p.parent) not in ("running", "None") or is_shared(p)]


def is_shared(path: Path) -> bool:
    """Whether a file lies in a model's folder, or beside the jobs of a sweep."""
    return "models" in path.parts or (path.parent / "jobs.json").is_file()


# ---- a disk of its own -----------------------------------------------------------------------


def mounted(folder: Path, *options: str) -> Callable[[], None] | None:
    """Mount a small disk at a folder; what takes it away, or nothing where that is not allowed."""
    folder.mkdir(exist_ok=True)
    made = ["mount", "-t", "tmpfs", "-o", ",".join(["size=4m", *options]), "tmpfs", str(folder)]
    try:
        done = subprocess.run(made, capture_output=True, check=False)
    except OSError:
        return None
    if done.returncode != 0:
        return None
    return lambda: subprocess.run(["umount", "-l", str(folder)], check=True) and None
