"""SLURM: jobs that end before their work does, and are queued again."""

import os
from collections.abc import Mapping
from typing import Any


def is_requeued(record: Mapping[str, Any], env: Mapping[str, str] = os.environ) -> bool:
    """Whether a run's record is of this same SLURM job, before it was queued again."""
    job = record.get("slurm", {}).get("job")
    return record.get("status") in ("interrupted", "running") and bool(job) and job == job_id(env)


def job_id(env: Mapping[str, str] = os.environ) -> str | None:
    """The SLURM job that this process is part of."""
    return env.get("SLURM_JOB_ID")
