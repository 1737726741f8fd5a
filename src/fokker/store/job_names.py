"""The names of sweeps and of the folders of their jobs."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

MAX_NAME = 60
MAX_VALUE = 30
#: Of the hash in the name of a sweep's or a job's folder.
DIGITS = 10
#: The name of a trial's folder.
TRIAL_NAME = r"t\d{4,}"


def job_id(path: Path) -> str:
    """What tells a job from others in the name of its folders: the hash, or a trial's number.

    Args:
        path: `<values>-<hash>`, `<hash>` or `t0007`, each also with the number of an attempt
            behind it: `<values>-<hash>.2`.
    """
    return job_name(path).rpartition("-")[2]


def job_name(path: Path) -> str:
    """The name of the folder of a job's first attempt."""
    return re.sub(r"\.\d+$", "", path.name)


def short_values(values: Sequence[str]) -> str:
    """Values in the name of a folder: `ddpm-5`, of a path its last part, none of them long."""
    short = []
    for value in values:
        plain = re.sub(r"[^A-Za-z0-9._]+", "-", value.rstrip("/").rpartition("/")[2])
        short.append(plain.strip("-._")[:MAX_VALUE])
    return "-".join(filter(None, short))[:MAX_NAME].strip("-._")


def short_hash(parts: Sequence[str]) -> str:
    """Ten hexadecimal digits that tell texts apart."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:DIGITS]
