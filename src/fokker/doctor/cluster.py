"""Checks of SLURM, in a job or before one, and of hydra's launchers."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

from fokker.doctor.table import Row, judged

#: Runs a command; returns its output, errors included, and its exit code (127: not found).
Ask = Callable[..., tuple[str, int]]
SECONDS = 10.0
USABLE = ("idle", "mixed", "allocated", "completing", "mix", "alloc", "comp")
# The names that sbatch has for a launcher's keys, by key.
FLAGS = {
    "nodes": "nodes", "tasks_per_node": "ntasks-per-node", "gpus_per_node": "gpus-per-node",
    "gpus_per_task": "gpus-per-task", "cpus_per_task": "cpus-per-task",
    "cpus_per_gpu": "cpus-per-gpu", "mem_gb": "mem", "mem_per_gpu": "mem-per-gpu",
    "mem_per_cpu": "mem-per-cpu", "timeout_min": "time", "signal_delay_s": "signal",
    "partition": "partition", "account": "account", "qos": "qos", "constraint": "constraint",
    "exclude": "exclude", "gres": "gres", "comment": "comment",
}  # fmt: skip


def ask(*command: str) -> tuple[str, int]:
    """Run a command; return its output, errors included, and its exit code."""
    if shutil.which(command[0]) is None:
        return "", 127
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error), 1
    return (done.stdout + done.stderr).strip(), done.returncode


def scheduler_row(env: Mapping[str, str] = os.environ, ask: Ask = ask) -> Row:
    """Make the row of the SLURM job that this process is in, or of SLURM before a job."""
    if env.get("SLURM_JOB_ID"):
        return _job_row(env, ask)
    nodes, code = ask("sinfo", "-h", "-o", "%D %T")
    if code == 127:
        return judged("scheduler", "none")
    if code:
        return judged("scheduler", f"SLURM is installed and does not answer ({_first(nodes)})")
    up, count = _nodes(nodes)
    _, code = ask("sacct", "-n", "-X", "-S", "now")
    accounting = "accounting on" if code == 0 else "accounting off, which fokker works without"
    found = f"SLURM, not in a job; {up} of {count} nodes up, {accounting}"
    warning = "" if up else "no node is up, and jobs would wait; see sinfo -R"
    return judged("scheduler", found, warning=warning)


def _nodes(text: str) -> tuple[int, int]:
    """Count the machines that are up, and all machines, in the output of sinfo."""
    pairs = [(int(line.split()[0]), line.split()[1]) for line in text.splitlines() if line.split()]
    return sum(n for n, state in pairs if state.rstrip("*~#$@+-") in USABLE), sum(
        n for n, _ in pairs
    )


def _job_row(env: Mapping[str, str], ask: Ask) -> Row:
    name = env["SLURM_JOB_ID"]
    text, code = ask("scontrol", "-o", "show", "job", name)
    if code:
        return judged("scheduler", f"SLURM job {name}", warning=(
            f"scontrol does not tell of it ({_first(text) or 'not found'}), and without it a job "
            "is not queued again when its time is over; put scontrol on the PATH"
        ))  # fmt: skip
    job = dict(field.split("=", 1) for field in text.split() if "=" in field)
    left = time_left(job.get("TimeLimit", ""), job.get("RunTime", ""))
    restarts = int(job.get("Restarts", 0))
    can = job.get("Requeue") == "1" and job.get("BatchFlag") == "1"
    found = (
        f"SLURM job {name} in {job.get('Partition', '?')}, {left}, "
        f"{_count(job.get('NumTasks', '?'), 'task')}, {_count(str(restarts), 'restart')}, "
        f"{'is' if can else 'not'} queued again"
    )
    warning = ""
    if job.get("BatchFlag") == "0":
        warning = "" if left == "no limit" else (
            "what srun alone has started is not queued again when its time is over; start it by "
            "sbatch, with srun in its script"
        )  # fmt: skip
    elif not can:
        warning = (
            "a job that is not queued again ends with its time or its node; say sbatch --requeue"
        )
    return judged("scheduler", found, warning=warning)


def time_left(limit: str, run: str) -> str:
    """Describe the time left to a job, from SLURM's times such as `1-02:03:04`."""
    total, gone = _seconds(limit), _seconds(run)
    if total is None or gone is None:
        return "no limit"
    minutes = max(0, total - gone) // 60
    return f"{minutes // 60} h {minutes % 60} min left" if minutes >= 60 else f"{minutes} min left"


def _seconds(text: str) -> int | None:
    """Return the seconds of a time such as `1-02:03:04`; None for `UNLIMITED`."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def sbatch_flags(jobs: Mapping[str, Any]) -> list[str]:
    """Return the options of sbatch for each job of a sweep."""
    values = {FLAGS[key]: value for key, value in jobs.items() if key in FLAGS}
    forms = {"mem": "{}GB", "signal": "USR2@{}"}
    flags = [f"--{n}={forms.get(n, '{}').format(v)}" for n, v in values.items() if v is not None]
    for name, value in (jobs.get("additional_parameters") or {}).items():
        flag = f"--{name.replace('_', '-')}"
        flags.append(flag if value is True else f"{flag}={value}")
    return flags


def sbatch_row(jobs: Mapping[str, object], ask: Ask = ask) -> Row:
    """Ask SLURM whether it would take the jobs of a sweep; nothing is submitted."""
    flags = sbatch_flags(jobs)
    found = f"sbatch {shlex.join(flags)}"
    text, code = ask("sbatch", "--test-only", *flags, "--wrap=true")
    if code == 127:
        return judged("sbatch", found, (
            "sbatch is not found; start it where SLURM is, or choose hydra/launcher=basic"
        ))  # fmt: skip
    if code:
        return judged("sbatch", found, (
            f"SLURM refuses these jobs ({_first(text)}); change hydra.launcher.KEY"
        ))  # fmt: skip
    when = re.search(r"to start at (\S+)", text)
    return judged("sbatch", found + (f"; could start at {when[1]}" if when else ""))


def launchers_row(chosen: str = "", version: Callable[[str], str] = metadata.version) -> Row:
    """Make the row of the packages of hydra's launchers."""
    texts, missing = [], []
    for package in ("hydra-submitit-launcher", "hydra-joblib-launcher"):
        try:
            texts.append(f"{package} {version(package)}")
        except metadata.PackageNotFoundError:
            missing.append(package)
            texts.append(f"no {package} (pip install {package})")
    needed = next((p for p in missing if p.split("-")[1] == chosen.partition("_")[0]), "")
    return judged("launchers", ", ".join(texts), needed and (
        f"hydra/launcher={chosen} needs the package {needed}; pip install {needed}"
    ))  # fmt: skip


def _first(text: str) -> str:
    """Return the line on a failed allocation, or else the first line."""
    lines = text.splitlines()
    told = [line for line in lines if "allocation failure" in line] or lines
    return told[0].removeprefix("allocation failure: ").strip() if told else ""


def _count(number: str, word: str) -> str:
    return f"{number} {word}{'s' * (number != '1')}"
