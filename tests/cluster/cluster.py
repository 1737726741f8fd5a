"""The few things that a test does with SLURM, through its commands."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ENDED = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "TIMEOUT",
}
POLL = 0.2  # seconds


def run(*command: str, check: bool = True) -> str:
    """What the command prints; an error carries what it complained of."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout.strip()


def outside() -> dict[str, str]:
    """The environment without SLURM's variables but SLURM_CONF, as at a login node."""
    return {
        key: value
        for key, value in os.environ.items()
        if key == "SLURM_CONF" or not key.startswith(("SLURM_", "SBATCH_", "SUBMITIT_"))
    }


def submit(script_text: str, cwd: Path, *sbatch_flags: str) -> str:
    """Submits the batch script in this folder (log: JOBID.log) and returns the job's number."""
    if not script_text.startswith("#!"):
        script_text = "#!/bin/bash\n" + script_text
    done = subprocess.run(
        ["sbatch", "--parsable", "--output=%A.log", "--open-mode=append", *sbatch_flags],
        input=script_text,
        cwd=cwd,
        env=outside(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode != 0:
        raise RuntimeError(f"sbatch: exit {done.returncode}\n{done.stderr}")
    return done.stdout.strip().split(";")[0]


def show(job_id: str) -> dict[str, str]:
    """The fields of `scontrol show job`; none when slurmctld does not know the job (any more)."""
    fields = run("scontrol", "--oneliner", "show", "job", job_id, check=False).split()
    return dict(field.split("=", 1) for field in fields if "=" in field)


def state(job_id: str) -> str:
    """The job's state, such as RUNNING; UNKNOWN when neither slurmctld nor sacct knows it."""
    # sacct lags behind slurmctld, so it comes second.
    name = show(job_id).get("JobState")
    if name is None:
        lines = run("sacct", "-n", "-P", "-X", "-j", job_id, "-o", "State", check=False).split("\n")
        name = lines[-1]
    return re.sub(r" by .*|\+", "", name) or "UNKNOWN"


def restarts(job_id: str) -> int:
    """How often the job has been requeued."""
    return int(show(job_id).get("Restarts", "0"))


def wait(job_id: str, seconds: float, until: Callable[[str], bool] = ENDED.__contains__) -> str:
    """Polls until the job's state satisfies `until`, by default until it has ended; its state."""
    end = time.monotonic() + seconds
    while not until(now := state(job_id)):
        if time.monotonic() > end:
            raise TimeoutError(f"job {job_id} is {now} after {seconds} s: {show(job_id)}")
        time.sleep(POLL)
    return now


def srun(
    *command: str,
    cwd: Path,
    flags: tuple[str, ...] = (),
    seconds: float = 120.0,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs the command as a job step with these flags of srun, and waits for it."""
    return subprocess.run(
        ["srun", *flags, *command],
        cwd=cwd,
        env={**outside(), **(env or {})},
        capture_output=True,
        text=True,
        timeout=seconds,
    )


def node_state(name: str) -> str:
    """The node's state, such as idle or down."""
    return run("sinfo", "-h", "-n", name, "-o", "%T")


def node_down(name: str) -> None:
    """Sets the node down, as if it had failed: its jobs are killed, and requeued if they may be."""
    run("scontrol", "update", f"nodename={name}", "state=down", "reason=test")


def node_up(name: str, seconds: float = 20.0) -> None:
    """Brings a node back that is down or drained, and waits until it can take jobs."""
    if node_state(name).startswith(("down", "drain", "fail")):
        run("scontrol", "update", f"nodename={name}", "state=resume")
    end = time.monotonic() + seconds
    while re.search(r"down|drain|fail|unk|\*", node_state(name)):
        if time.monotonic() > end:
            raise TimeoutError(f"node {name} is {node_state(name)} after {seconds} s")
        time.sleep(POLL)
