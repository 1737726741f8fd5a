"""Environment variables: an empty one counts as not set, and a number is checked to be one."""

import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager

#: Numbers that lightning reads too, but without a message that helps if one is no number.
NUMBERS = (
    "WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK",
    "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_NTASKS", "OMP_NUM_THREADS",
)  # fmt: skip
#: Hydra's switch for whole tracebacks in place of sentences.
FULL_ERROR = "HYDRA_FULL_ERROR"


def told(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that are not empty."""
    return {name: value for name, value in env.items() if value.strip()}


def number(env: Mapping[str, str], name: str, default: int) -> int:
    """Return a variable's whole number, which is not negative.

    Args:
        env: the environment.
        name: the name of the variable.
        default: the number if the variable is empty or not set.
    Raises:
        ValueError: if the variable is another text.
    """
    text = env.get(name, "").strip()
    if text and not text.isdecimal():
        raise ValueError(
            f"{name} in the environment must be a whole number, got {text}; correct it, or "
            f"remove it: unset {name}"
        )
    return int(text) if text else default


def is_on(name: str, env: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a switch is 1; anything else means off, as for hydra's own switches.

    Args:
        name: the name of the variable.
        env: the environment.
    """
    return env.get(name) == "1"


@contextmanager
def without_empty(env: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """Remove empty number variables in the block, since libraries cannot read them.

    Raises:
        ValueError: if one of the `NUMBERS` is another text.
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
