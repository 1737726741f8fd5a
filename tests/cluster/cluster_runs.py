"""Real runs of two ranks for the tests in this folder: started, watched, killed, and looked at."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import safe_open

import cluster
import tiny_runs
from fokker.machine.files import read_json
from fokker.store.curves import read_json_lines
from fokker.store.models import ModelFolder

T = TypeVar("T")

BIN = Path(sys.executable).parent
FOKKER = str(BIN / "fokker")
STEPS = 200
#: A job whose training is as slow as `pace` says, with a save every 20 steps.
JOB = (
    "data=uniform", "network.width=16", "network.depth=1", f"trainer.max_steps={STEPS}",
    "optimizer.warmup_steps=0", "callbacks.log_steps=10", "callbacks.save_steps=20",
    "callbacks.validation_steps=100", "callbacks.save_seconds=1e6",
    "sampler=ancestral", "sampler.num_steps=100", "evaluation.num_samples=2000",
    "evaluation.budget_points=0", "evaluation.figures=false",
    "weighting._target_=patient.Patient", "allow_targets=[patient]",
)  # fmt: skip
PATIENT = """
import os
import signal
import time
from pathlib import Path

from fokker.diffusion.weighting import EDM, Weighting

PACE, KILL = Path("pace"), Path("kill_in_save")
replace = Path.replace


def killed_in_save(self, target):
    if Path(target).name == "last.ckpt" and KILL.is_file():
        KILL.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)


Path.replace = killed_in_save


class Patient(Weighting):
    # EDM's weighting, whose steps take a while, and which notes what it was made with.
    def __init__(self, sigma_data=0.5, mark=0.0):
        self._own = EDM(sigma_data)
        if mark and "RANK" in os.environ:
            with open(f"marks.{os.environ['RANK']}", "a") as handle:
                handle.write(f"{mark}\\n")

    def __call__(self, sigma, noise):
        if PACE.is_file():
            time.sleep(float(PACE.read_text() or 0))
        return self._own(sigma, noise)
"""
#: The ways to start two ranks by hand.
STARTS: dict[str, tuple[str, ...]] = {
    "fokker": (FOKKER, "trainer=ddp_cpu"),
    "torchrun": (
        str(BIN / "torchrun"), "--standalone", "--nproc-per-node=2", "-m", "fokker",
        "trainer=ddp_cpu",
    ),
    "srun": ("srun", "--nodes=1", "--ntasks=2", FOKKER, "trainer=ddp_cpu"),
    "srun_two_nodes": (
        "srun", "--nodes=2", "--ntasks-per-node=1", FOKKER, "trainer=multi_node",
    ),
}  # fmt: skip
#: Of a step, so that a training of JOB takes 6 s more.
SLOW = 0.03
#: Everything here ends within this, on a machine that is slow.
LONG = 240.0
#: So long do the ranks that are left take to notice that one has gone.
GONE = 60.0


def prepare(folder: Path, seconds: float = 0.0) -> Path:
    """The folder, in which JOB can be run; see `pace`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "patient.py").write_text(PATIENT)
    pace(folder, seconds)
    return folder


def pace(folder: Path, seconds: float = 0.0) -> None:
    """Lets each step of a training in `folder` take so much more, from now on."""
    temporary = folder / "pace.new"
    temporary.write_text(str(seconds))
    temporary.replace(folder / "pace")


def environment() -> dict[str, str]:
    """That of a run: one thread, and nothing of a SLURM job that this may be in."""
    return {**cluster.outside(), "OMP_NUM_THREADS": "1"}


def start(folder: Path, *command: str) -> "subprocess.Popen[bytes]":
    """The command as a process of its own in `folder`; what it says goes to out.txt, err.txt."""
    with (folder / "out.txt").open("ab") as out, (folder / "err.txt").open("ab") as err:
        return subprocess.Popen(
            command, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=out,
            stderr=err, start_new_session=True,
        )  # fmt: skip


def said(folder: Path) -> str:
    """What the commands in a folder have said so far."""
    logs = [folder / "out.txt", folder / "err.txt", *sorted(folder.glob("*.log"))]
    return "\n".join(f"--- {p.name}\n{p.read_text()[-4000:]}" for p in logs if p.is_file())


def ended(child: "subprocess.Popen[bytes]", folder: Path, seconds: float = LONG) -> int:
    """The exit code of a process, which is waited for and killed if it takes too long."""
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        end_all(folder)
        raise TimeoutError(f"it still runs after {seconds} s; {said(folder)}") from None


def run(folder: Path, *command: str, seconds: float = LONG) -> None:
    """The command in `folder`, which must end well."""
    child = start(folder, *command)
    code = ended(child, folder, seconds)
    assert code == 0, f"exit {code}; {said(folder)}"


def until(what: Callable[[], T], folder: Path, text: str, seconds: float = LONG) -> T:
    """Polls until `what` gives something; `text` says what is waited for."""
    end = time.monotonic() + seconds
    while not (found := what()):
        if time.monotonic() > end:
            left = living(folder)
            raise TimeoutError(f"not {text} after {seconds} s; living: {left}; {said(folder)}")
        time.sleep(0.05)
    return found


# Processes ---------------------------------------------------------------------------------------


def living(folder: Path) -> dict[int, str]:
    """The processes that are at work in `folder`, with their command lines."""
    found = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                if Path(os.readlink(place / "cwd")) == folder.resolve():
                    words = (place / "cmdline").read_bytes().split(b"\0")
                    found[int(place.name)] = b" ".join(words).decode().strip()
            except OSError:  # Gone meanwhile, or a zombie.
                continue
    return found


def ranks(folder: Path) -> dict[int, int]:
    """The processes of the ranks in `folder`, by rank."""
    found = {}
    for pid, line in living(folder).items():
        if not re.search(r"fokker\.cli\.rank|bin/fokker |fokker/__main__|-m fokker", line):
            continue
        if not line.split()[0].endswith(("python", "python3", Path(sys.executable).name)):
            continue
        try:
            entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        env = dict(entry.split(b"=", 1) for entry in entries if b"=" in entry)
        rank = env.get(b"RANK", env.get(b"SLURM_PROCID"))
        if rank is not None:
            found[int(rank)] = pid
    return found


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Sends a signal to a process, if it is still there."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def end_all(folder: Path) -> None:
    """Kills what is at work in `folder`."""
    for pid in living(folder):
        kill(pid)


def all_gone(folder: Path, seconds: float = GONE) -> None:
    """Waits until no process is at work in `folder`."""
    until(lambda: not living(folder), folder, "gone", seconds)


# What is on disk ---------------------------------------------------------------------------------


def only(pattern: str, folder: Path) -> Path:
    """The one path that matches."""
    found = sorted(folder.glob(pattern))
    assert len(found) == 1, f"{pattern} is {[str(p) for p in found]}"
    return found[0]


def models(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("outputs/models/*") if p.is_dir())


def step(folder: Path) -> int:
    """The last step in the curves of the models in `folder`; -1: no training has begun."""
    rows = [r for p in models(folder) for r in read_json_lines(p / "metrics.jsonl")]
    return max((row["step"] for row in rows), default=-1)


def saved_step(folder: Path) -> int:
    """The step that is saved; 0: none."""
    return max((ModelFolder(p).steps_done for p in models(folder)), default=0)


def until_step(number: int, folder: Path, child: "subprocess.Popen[bytes] | None" = None) -> None:
    """Waits until a training in `folder` has made so many steps; `child` must live so long."""

    def is_there() -> bool:
        if child is not None and child.poll() is not None:
            raise AssertionError(f"it has ended before step {number}; {said(folder)}")
        return step(folder) >= number

    until(is_there, folder, f"at step {number}", 150)


def records(folder: Path) -> list[dict[str, Any]]:
    """run.json of all runs in `folder`, in the order of their begin."""
    return [read_json(p) for p in sorted(folder.glob("outputs/runs/*/run.json"))]


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as handle:
        return list(csv.DictReader(handle))


def losses(folder: Path) -> list[float]:
    (model,) = models(folder)
    return [row["loss"] for row in read_json_lines(model / "metrics.jsonl")]


def points(run_folder: Path) -> np.ndarray:
    """The samples of a run of JOB in units of the data's standard deviation."""
    samples: np.ndarray = np.load(run_folder / "samples.npz")["samples"]
    return samples * 12**0.5


def is_as(folder: Path, whole: Path) -> bool:
    """Whether the one model of each came to the same, to the bit, and is complete."""
    return model_is_as(*models(folder), *models(whole))


def model_is_as(one: Path, other: Path) -> bool:
    found, expected = ModelFolder(one), ModelFolder(other)
    assert found.is_complete, found.record
    assert expected.is_complete, expected.record
    states = tiny_runs.trained_state(found), tiny_runs.trained_state(expected)
    assert states[1]["step"] == STEPS
    assert tiny_runs.differing(*states) == []
    for file in sorted(other.glob("*.safetensors")):
        assert (one / file.name).read_bytes() == file.read_bytes(), file.name
    return True


def damaged(folder: Path) -> list[str]:
    """The files below outputs/ that are temporary, or cannot be read to their end."""
    found = []
    for path in sorted(folder.glob("outputs/**/*")):
        if path.is_dir() or path.suffix == ".lock" or ".submitit" in path.parts:
            continue
        if "wandb" in path.parts and path.name != "wandb.json":
            continue
        try:
            if path.suffix == ".tmp" or path.name.endswith("~"):
                raise ValueError("temporary")
            _read(path)
        except Exception as error:
            found.append(f"{path.relative_to(folder)}: {type(error).__name__}: {error}")
    return found


def _read(path: Path) -> None:
    if path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".jsonl":
        for line in path.read_text().splitlines():
            json.loads(line)
    elif path.suffix == ".csv":
        widths = {len(row) for row in csv.reader(path.read_text().splitlines())}
        assert len(widths) <= 1, f"rows of {widths}"
    elif path.suffix == ".npz":
        for array in np.load(path).values():
            array.sum()
    elif path.suffix == ".ckpt":
        torch.load(path, weights_only=True)
    elif path.suffix == ".safetensors":
        with safe_open(path, "pt") as handle:
            for name in handle.keys():  # noqa: SIM118 - no dict
                handle.get_tensor(name)


def names(paths: Iterable[Path]) -> set[str]:
    return {path.name for path in paths}


# Jobs of SLURM -----------------------------------------------------------------------------------


def submit(
    folder: Path, *overrides: str, command: str = f"srun {FOKKER} trainer=ddp_cpu",
    flags: Sequence[str] = (),
) -> str:  # fmt: skip
    """A job of two tasks that runs JOB, with more flags of sbatch; the number of the job."""
    words = " ".join(f"'{word}'" for word in (*JOB, *overrides))
    script = f"export OMP_NUM_THREADS=1\n{command} {words}"
    return cluster.submit(script, folder, "--nodes=1", "--ntasks=2", "--requeue", *flags)


def completed(folder: Path, job: str, restarts: int) -> None:
    """Waits until a job that was queued again so often has ended well."""

    def is_over() -> bool:
        state = cluster.state(job)
        # Between two starts a job may be shown as ended for a moment.
        return state in cluster.ENDED and (
            state == "COMPLETED" or cluster.restarts(job) >= restarts
        )

    until(is_over, folder, f"over (job {job} is {cluster.state(job)})")
    assert cluster.state(job) == "COMPLETED", f"{cluster.show(job)} {said(folder)}"
    assert cluster.restarts(job) == restarts, f"{cluster.show(job)} {said(folder)}"


def hears(pid: int, number: int) -> bool:
    """Whether a signal does not end the process as it is, by what it has told the system."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    masks = [int(mask, 16) for mask in re.findall(r"^Sig(?:Ign|Cgt):\s*(\w+)", status, re.M)]
    return any(mask >> (number - 1) & 1 for mask in masks)
