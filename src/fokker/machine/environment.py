"""Variables of the environment: an empty one is none, and a number is one."""

import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager

#: Numbers that lightning reads too, without a word for what is none.
NUMBERS = (
    "WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK",
    "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_NTASKS", "OMP_NUM_THREADS",
)  # fmt: skip
#: Hydra's switch for whole tracebacks in place of sentences.
FULL_ERROR = "HYDRA_FULL_ERROR"


def told(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that say something."""
    return {name: value for name, value in env.items() if value.strip()}


def number(env: Mapping[str, str], name: str, default: int) -> int:
    """Return a variable's whole number, which is not negative.

    Args:
        env: the environment.
        name: of the variable.
        default: where it is empty or not set.
    Raises:
        ValueError: if it is another text.
    """
    text = env.get(name, "").strip()
    if text and not text.isdecimal():
        raise ValueError(
            f"{name} in the environment must be a whole number, got {text}; correct it, or take it "
            f"away: unset {name}"
        )
    return int(text) if text else default


def is_on(name: str, env: Mapping[str, str] = os.environ) -> bool:
    """Return whether a switch is set, as hydra reads its own: by 1 alone, so that 0 means off.

    Args:
        name: of the variable.
        env: the environment.
    """
    return env.get(name) == "1"


@contextmanager
def without_empty(env: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """Take away empty numbers, which libraries cannot read, and bring them back.

    Raises:
        ValueError: if one is no number.
    """
    empty = {name: env[name] for name in NUMBERS if name in env and not env[name].strip()}
    for name in NUMBERS:
        number(env, name, 0)
    for name in empty:
        del env[name]
    try:
        yield
    finally:
        for name, value in empty.items():
            env.setdefault(name, value)
