"""The names of sweeps and of the folders of their jobs."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

MAX_NAME = 60
MAX_VALUE = 30
#: The digits of the hash in the name of a sweep's or a job's folder.
DIGITS = 10
#: The pattern of the name of a trial's folder.
TRIAL_NAME = r"t\d{4,}"


def job_id(path: Path) -> str:
    """Return what identifies a job in the names of its folders: the hash, or a trial's `t0007`.

    Args:
        path: a folder named `<values>-<hash>`, `<hash>` or `t0007`, perhaps with the number of an
            attempt behind it: `<values>-<hash>.2`.
    """
    return job_name(path).rpartition("-")[2]


def job_name(path: Path) -> str:
    """Return the name of the folder of a job's first attempt."""
    return re.sub(r"\.\d+$", "", path.name)


def short_values(values: Sequence[str]) -> str:
    """Join values for the name of a folder, as `ddpm-5`; paths and long values are shortened."""
    short = []
    for value in values:
        plain = re.sub(r"[^A-Za-z0-9._]+", "-", value.rstrip("/").rpartition("/")[2])
        short.append(plain.strip("-._")[:MAX_VALUE])
    return "-".join(filter(None, short))[:MAX_NAME].strip("-._")


def short_hash(parts: Sequence[str]) -> str:
    """Return a hash of texts, in ten hexadecimal digits."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:DIGITS]
