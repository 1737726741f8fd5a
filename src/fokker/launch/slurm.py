"""Jobs of SLURM: one that was ended too early goes on in the same folder when it runs again."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fokker.machine.environment import number
from fokker.store.records import record_or_why


def facts(env: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the SLURM job of this process, for a run's record; empty outside of a job."""
    if not env.get("SLURM_JOB_ID"):
        return {}
    step = env.get("SLURM_STEP_ID") or "batch"
    return {"slurm": {"job": job_name(env), "step": step, "restarts": restarts(env)}}


def job_name(env: Mapping[str, str]) -> str:
    """Return the name of this job for scontrol and scancel.

    In an array it is not SLURM_JOB_ID, which for the last job is the number of the whole array.
    """
    if env.get("SLURM_ARRAY_JOB_ID") and env.get("SLURM_ARRAY_TASK_ID"):
        return f"{env['SLURM_ARRAY_JOB_ID']}_{env['SLURM_ARRAY_TASK_ID']}"
    return env["SLURM_JOB_ID"]


def restarts(env: Mapping[str, str] = os.environ) -> int:
    """Return how often this job was queued again."""
    return number(env, "SLURM_RESTART_COUNT", 0)


def is_requeued(record: Mapping[str, Any], env: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a run's record is of this same job, before it was queued again."""
    own, before = facts(env).get("slurm", {}), record.get("slurm", {})
    same = own and all(own[key] == before.get(key) for key in ("job", "step"))
    return (
        bool(same)
        and before["restarts"] < own["restarts"]
        and record.get("status") in ("interrupted", "running", "failed")
    )


def earlier_run(runs: Path, overrides: list[str]) -> str | None:
    """Return the name of the folder that this job left unfinished before it was queued again."""
    if not restarts():
        return None
    for file in sorted(runs.glob("*/run.json"), reverse=True):
        record, _ = record_or_why(file)
        if is_requeued(record) and record.get("overrides") == overrides:
            return file.parent.name
    return None


def requeue(signalled: int, has_advanced: bool, env: Mapping[str, str] = os.environ) -> str:
    """Queue this job again if its time is up or it is preempted, unless SLURM does so itself.

    Args:
        signalled: the number of the signal that has ended it.
        has_advanced: whether anything was done since it began; if not, it never will be.
    Returns:
        the outcome in words; empty outside of a job, and after Ctrl-C.
    """
    if not env.get("SLURM_JOB_ID") or signalled == signal.SIGINT:
        return ""
    name = job_name(env)
    # SLURM is asked in all cases: a user may cancel a job that was just told of its end.
    reason = _why_not(_scontrol("-o", "show", "job", name), signalled, restarts(env))
    if not reason and not has_advanced:
        reason = "nothing was done since it began; give it more time (--time)"
    if reason:
        return f"SLURM job {name} is not queued again: {reason}"
    answer = _scontrol("requeue", name)
    return f"SLURM job {name} is queued again" + (f": {answer.strip()}" if answer.strip() else "")


def _why_not(shown: str, number: int, count: int) -> str:
    """Return why a job must not be queued again, from SLURM's words on it; empty if it may be."""
    job = dict(field.split("=", 1) for field in shown.split() if "=" in field)
    if int(job.get("Restarts", count)) > count or job.get("JobState") == "PENDING":
        return "SLURM does so itself"
    if job.get("Requeue") == "0":
        return "it does not allow it (--requeue)"
    if job.get("BatchFlag") == "0":
        return "it was started by srun alone, and only what sbatch starts can be"
    is_ending = job.get("JobState") in ("COMPLETING", "CANCELLED")
    has_reason = job.get("Reason") == "TimeLimit" or job.get("PreemptTime", "None") != "None"
    return "it was cancelled" if is_ending and not has_reason else ""


def _scontrol(*words: str) -> str:
    """Return what scontrol prints; the signals that end the job are blocked meanwhile."""
    blocked = {signal.SIGTERM, signal.SIGCONT, signal.SIGUSR1, signal.SIGUSR2}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        done = subprocess.run(
            ["scontrol", *words], capture_output=True, text=True, timeout=30, check=False
        )
        return done.stdout + done.stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"scontrol: {error}"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def when_stopped(number: int, has_advanced: bool) -> None:
    """Queue the job again if that is right, and print the outcome."""
    text = requeue(number, has_advanced)
    if text:
        print(f"fokker: {text}", file=sys.stderr, flush=True)


def ignore_while_starting(env: Mapping[str, str] = os.environ) -> None:
    """Ignore SIGUSR1, a job's warning, which would end a process without a handler for it."""
    if env.get("SLURM_JOB_ID") and signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
