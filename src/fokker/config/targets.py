"""The names that a `_target_` may have, checked before anything is imported."""

import os
import sys
from collections.abc import Sequence

from fokker.config.arguments import shown

ALLOWED = ("fokker", "torch.nn", "torch.optim")
#: Functions that may be a target; everything else must be a class.
FUNCTIONS = ("fokker.distributions.two_moons", "fokker.distributions.swiss_roll")
#: Datasets of other packages, which run nothing by themselves, for `data.dataset`.
DATASETS = ("torch.utils.data.ConcatDataset", "torch.utils.data.Subset")
#: The module of a script or a notebook, the only private name that may be allowed.
NOTEBOOK = "__main__"
#: The number of characters of a value that a message shows.
MOST_SHOWN = 200


def begins_with(name: str, prefix: str) -> bool:
    """Tell whether a dotted name begins with another, by whole parts."""
    return f"{name}.".startswith(f"{prefix}.")


def find_own(allow_targets: Sequence[str]) -> None:
    """Let the user's packages in the current folder be found: a console script skips it."""
    if allow_targets and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def own_names(allow: Sequence[str]) -> tuple[str, ...]:
    """Return the packages of the user's that a target may name.

    Raises:
        ValueError: for a text that is no dotted name, or a private name.
    """
    for name in allow:
        parts = name.split(".")
        if not all(part.isidentifier() for part in parts) or _private(name):
            raise ValueError(
                "allow_targets must list names of packages, such as my_package, no part of which "
                f"begins with _, got {name!r}"
            )
    return tuple(allow)


def rule(key: str, target: object, own: Sequence[str]) -> str:
    """Return the beginning of a message: the rule for a target, and its value."""
    return f"{key} must name a class in {', '.join((*ALLOWED, *own))}, got {told(target)}"


def check_name(key: str, target: object, own: Sequence[str]) -> str:
    """Return a target if its name is allowed.

    Args:
        key: the key where it stands.
        target: the value in the configuration.
        own: the packages of the user's.
    Raises:
        ValueError: if it is no dotted name, is private, or begins with no allowed package.
    """
    said = rule(key, target, own)
    if not isinstance(target, str) or not all(p.isidentifier() for p in target.split(".")):
        raise ValueError(f"{said}; write a dotted name, such as fokker.networks.MLP")
    if target not in DATASETS and not any(begins_with(target, n) for n in (*ALLOWED, *own)):
        raise ValueError(
            f"{said}; to use a package of your own, add its name, by which its code may run: "
            "allow_targets=[my_package]"
        )
    if _private(target):
        raise ValueError(
            f"{said}, a part of which begins with _ and is not for others; name a class that is"
        )
    return target


def told(target: object) -> str:
    """Return a target as text on one line, for a message."""
    text = shown(target)
    text = text if text.isprintable() and text == text.strip() else repr(text)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def _private(name: str) -> bool:
    parts = name.split(".")
    return any(part.startswith("_") for part in parts[parts[0] == NOTEBOOK :])
