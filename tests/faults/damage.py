"""One finished world of runs, a sweep and searches, and what damages a file of it."""

import contextlib
import io
import json
import os
import random
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from planted import Said

import fokker
from fokker.cli.main import main

TINY = (
    "data=uniform", "trainer.max_steps=2", "network.width=8", "network.depth=1",
    "evaluation.num_samples=60", "evaluation.figures=false", "evaluation.budget_points=0",
)  # fmt: skip
SWEEP = ("-m", *TINY, "sampler.num_steps=2,3", "hydra.sweep.dir=outputs/sweeps/steps")
SEARCH = (
    "-m", *TINY, "hydra/sweeper=fokker_search", "hydra.sweeper.n_trials=2", "objective=w1",
    "sampler.num_steps=interval(2,5)",
)  # fmt: skip
FIND = (*SEARCH, "hydra.sweep.dir=outputs/sweeps/find")
JOURNAL = (*SEARCH, "hydra.sweeper.storage=journal", "hydra.sweep.dir=outputs/sweeps/journal")

RUN, OTHER, EXACT = (f"outputs/runs/{name}" for name in ("one", "two", "exact"))
#: What makes the world, each by itself.
MADE = (
    (*TINY, f"hydra.run.dir={RUN}"),
    (*TINY, "sampler.num_steps=3", f"hydra.run.dir={OTHER}"),
    (*[t for t in TINY if "network" not in t], "network=exact", f"hydra.run.dir={EXACT}"),
    SWEEP,
    FIND,
    JOURNAL,
)


def say(*words: str) -> Said:
    """What `fokker` with these words comes to here, or `fokker.load` of `load PATH`.

    Nothing is drawn, which takes longer than all else.
    """
    out, err, before = io.StringIO(), io.StringIO(), dict(os.environ)
    code: Any = 0
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
        mock.patch.object(sys, "argv", ["fokker", *words]),
        mock.patch("fokker.sweeps.figures._sketches", return_value={}),
        mock.patch("fokker.search.results.Results.draw", return_value=[]),
    ):
        try:
            if words[0] == "load":
                _load(words[1])
            else:
                main()
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            err.write(traceback.format_exc())
            code = 1
    if isinstance(code, str):
        err.write(f"{code}\n")
        code = 1
    os.environ.clear()
    os.environ.update(before)
    return Said(code, out.getvalue(), err.getvalue())


def _load(path: str) -> None:
    try:
        fokker.load(path)
    except ValueError as error:  # The one error that a program is told to expect.
        sys.exit(f"fokker: {error}")


def make(folder: Path, *commands: tuple[str, ...]) -> None:
    """Make a world in `folder` by these commands, by default all of it."""
    with _inside(folder):
        for words in commands or MADE:
            said = say(*words)
            assert (said.code, said.err) == (0, ""), said


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    yield
    os.chdir(before)


# ---- what damages a file ---------------------------------------------------------------------

Damage = Callable[[bytes, random.Random], bytes]


def _flipped(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    place = chance.randrange(len(content))
    changed[place] ^= 1 << chance.randrange(8)
    return bytes(changed)


#: Of any file.
ANY: dict[str, Damage] = {
    "cut": lambda content, _: content[: len(content) // 2],
    "empty": lambda *_: b"",
    "bad bytes": lambda content, _: content[:20] + b"\xff\xfe\x80" + content[20:],
    "flipped": _flipped,
}
#: Of texts.
TEXTS: dict[str, Damage] = {
    "null": lambda *_: b"null\n",
    "list": lambda *_: b"[]\n",
    "nothing": lambda *_: b"{}\n",
    "number": lambda *_: b"7\n",
}


KINDS = {"null": None, "text": "abc", "list": ["x"], "map": {"x": 1}, "below 0": -1}


def wrong_types(content: Any) -> dict[str, Any]:
    """The same JSON with one value of another kind, by the place of it."""
    found: dict[str, Any] = {}

    def walk(node: Any, place: tuple[Any, ...]) -> None:
        if place:
            for name, value in KINDS.items():
                if type(value) is not type(node):
                    found[f"{'.'.join(map(str, place))}={name}"] = _with(content, place, value)
            found[f"{'.'.join(map(str, place))} left out"] = _without(content, place)
        for key, value in _items(node):
            walk(value, (*place, key))

    walk(content, ())
    return found


def _items(node: Any) -> list[tuple[Any, Any]]:
    """What is in a node; of a list the first value stands for all."""
    if isinstance(node, dict):
        return list(node.items())
    return list(enumerate(node[:1])) if isinstance(node, list) else []


def _with(node: Any, place: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(node))
    inside = copy
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return copy


def _without(node: Any, place: tuple[Any, ...]) -> Any:
    copy = json.loads(json.dumps(node))
    inside = copy
    for key in place[:-1]:
        inside = inside[key]
    del inside[place[-1]]
    return copy


# ---- which command reads which file ----------------------------------------------------------

MODEL = "outputs/models/edm-uniform-1c690f213d"
JOB = "outputs/sweeps/steps/2-b4632de70b"
COMMANDS: dict[str, tuple[str, ...]] = {
    "run": TINY,
    "plan": (*TINY, "task=plan"),
    "sweep": SWEEP,
    "search": FIND,
    "search on": (*FIND, "hydra.sweeper.n_trials=3"),
    "journal on": (*JOURNAL, "hydra.sweeper.n_trials=3"),
    "models": ("task=models",),
    "delete unused": ("task=models", "delete=unused"),
    "runs": ("task=runs",),
    "delete failed": ("task=runs", "delete=failed"),
    "prune": ("task=runs", "prune=samples"),
    "compare": ("task=compare", RUN, OTHER),
    "checkpoint": (f"checkpoint={RUN}", *TINY[-3:]),
    "checkpoint model": (f"checkpoint={MODEL}", *TINY[-3:]),
    "exported": (f"checkpoint={MODEL}/ema_50000.safetensors", *TINY[-3:]),
    "last": ("checkpoint=last", *TINY[-3:]),
    "continue": (*TINY, f"continue_from={RUN}", "trainer.max_steps=3"),
    "init": (*TINY, f"init_from={RUN}"),
    "beside": (*TINY, f"evaluation.beside=[{RUN},{OTHER}]"),
    "load": ("load", RUN),
    "load exact": ("load", EXACT),
}
LISTS = ("models", "delete unused", "runs", "delete failed", "prune", "last")
OF_MODEL = (
    "run", "sweep", "search on", "models", "checkpoint", "checkpoint model", "exported",
    "continue", "init", "load", "plan",
)  # fmt: skip
READ_BY: dict[str, tuple[str, ...]] = {
    f"{RUN}/run.json": (*LISTS, "compare", "checkpoint", "continue", "init", "beside", "load"),
    f"{RUN}/metrics.json": ("runs", "prune", "compare", "beside"),
    f"{RUN}/config.yaml": ("compare", "beside", "checkpoint", "load"),
    f"{RUN}/metrics.jsonl": ("checkpoint", "last", "continue", "load"),
    f"{RUN}/samples.npz": ("compare",),
    f"{RUN}/evaluations.csv": ("compare", "runs"),
    f"{RUN}/loss_per_level.csv": ("compare", "beside"),
    f"{EXACT}/run.json": (*LISTS, "load exact"),
    f"{EXACT}/config.yaml": ("load exact",),
    f"{MODEL}/model.json": (*OF_MODEL, "delete unused"),
    f"{MODEL}/config.yaml": OF_MODEL,
    f"{MODEL}/metrics.jsonl": OF_MODEL,
    f"{MODEL}/last.ckpt": OF_MODEL,
    f"{MODEL}/ema_50000.safetensors": ("exported", "run", "load"),
    f"{JOB}/run.json": (*LISTS, "sweep"),
    f"{JOB}/metrics.json": ("runs", "sweep"),
    f"{JOB}/evaluations.csv": ("sweep",),
    f"{JOB}/loss_per_level.csv": ("sweep",),
    f"{JOB}/metrics.jsonl": ("sweep",),
    f"{JOB}/config.yaml": ("sweep",),
    f"{JOB}/output.txt": ("sweep",),
    f"{JOB}/samples.npz": ("sweep",),
    "outputs/sweeps/steps/jobs.json": (*LISTS, "sweep"),
    "outputs/sweeps/steps/sweep.json": ("sweep",),
    "outputs/sweeps/steps/results.csv": ("sweep",),
    "outputs/sweeps/steps/evaluations.csv": ("sweep",),
    "outputs/sweeps/steps/report.html": ("sweep",),
    "outputs/sweeps/find/jobs.json": ("search", "search on", *LISTS),
    "outputs/sweeps/find/search.db": ("search", "search on"),
    "outputs/sweeps/journal/search.log": ("journal on",),
    "outputs/sweeps/find/best.yaml": ("search on",),
    "outputs/sweeps/find/results.csv": ("search on",),
    "outputs/sweeps/find/t0000/run.json": ("search", "search on", *LISTS),
    "outputs/sweeps/find/t0000/metrics.json": ("search", "search on", "runs"),
    "outputs/sweeps/find/t0000/trial.json": ("search", "search on"),
    "outputs/sweeps/find/t0000/evaluations.csv": ("search on",),
}


def is_text(file: str) -> bool:
    """Whether JSON of other kinds may stand in it."""
    return not file.endswith((".npz", ".ckpt", ".safetensors", ".db"))


def what_is_wrong(said: Said, file: str, before: set[Path], command: str) -> str:
    """Why a command that met a damaged file has not ended as it may; empty if it has."""
    both = said.out + said.err
    if "Traceback" in both or "Error executing job" in both:
        return f"a traceback: {both.splitlines()[-1]}"
    sentences = [line for line in said.err.splitlines() if line.startswith("fokker: ")]
    if said.code != 0:
        if len(sentences) != 1:
            return f"exit {said.code} with {len(sentences)} sentences: {both[-300:]}"
        if Path(file).name not in sentences[0] or Path(file).parent.name not in sentences[0]:
            return f"a sentence that does not name the file: {sentences[0]}"
    elif sentences:
        return f"exit 0 with {sentences[0]}"
    if "delete" not in command and command != "prune":
        gone = [str(path) for path in before if not path.exists()]
        if gone:
            return f"lost {gone}"
    return ""


# ---- trying all of it ------------------------------------------------------------------------


def damages(file: str, content: bytes, kinds: int) -> dict[str, bytes]:
    """A file's content, damaged in each way, and in so many ways of wrong types."""
    chance = random.Random(file)
    found = {name: damage(content, chance) for name, damage in ANY.items()}
    if is_text(file):
        found |= {name: damage(content, chance) for name, damage in TEXTS.items()}
    if file.endswith(".json"):
        wrong = list(wrong_types(json.loads(content)).items())
        chosen = chance.sample(wrong, min(kinds, len(wrong)))
        found |= {name: json.dumps(changed).encode() for name, changed in chosen}
    return found


def survey(world: str, place: str, files: str, commands: str, kinds: str, share: str) -> None:
    """Print what has not ended as it may, and how many cases there were.

    Args:
        world: a folder that `make` has filled; each case has a copy of it at `place`.
        files, commands: that are tried, by a part of their name, with commas.
        kinds: of wrong types for each file.
        share: of all cases, by chance.
    """
    chance, count, begun = random.Random(0), 0, time.process_time()
    for file, all_commands in READ_BY.items():
        path = Path(world, file)
        if not path.is_file() or not any(part in file for part in files.split(",")):
            continue
        for name, content in damages(file, path.read_bytes(), int(kinds)).items():
            for command in all_commands:
                is_asked = commands == "all" or command in commands.split(",")
                if is_asked and chance.random() < float(share):
                    count += 1
                    if wrong := _tried(Path(world), Path(place), file, content, command):
                        print(f"{file}, {name}, {command}: {wrong}", flush=True)
    print(f"{count} cases, {time.process_time() - begun:.0f} s", flush=True)


def _tried(world: Path, place: Path, file: str, content: bytes, command: str) -> str:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(world, place)
    (place / file).write_bytes(content)
    with _inside(place):
        before = {p for p in place.rglob("*") if p.is_file() and not p.name.startswith(".")}
        return what_is_wrong(say(*COMMANDS[command]), file, before, command)
