"""Whether a configuration gives a class the arguments that it takes, before it is called."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import Tensor

UNIONS = (Union, UnionType)
LISTS = (Sequence, list, tuple)
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
PLURALS = {int: "whole numbers", float: "numbers", str: "texts"}


def fits(value: Any, kind: Any) -> bool:
    """Whether a plain value of a configuration is of a type; an unknown type takes any value."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in UNIONS:
        return any(fits(value, option) for option in inner)
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in inner)
    if origin is dict:
        return isinstance(value, dict) and all(fits(entry, inner[1]) for entry in value.values())
    if origin in LISTS:
        if not isinstance(value, list):
            return False
        several = origin is not tuple or inner[1:] == (...,)
        kinds = [inner[0]] * len(value) if several else inner
        return len(value) == len(kinds) and all(map(fits, value, kinds))
    if kind is float:
        return type(value) in (int, float) and value == value  # NaN is no number.
    if kind in (int, bool, str, NoneType):
        return type(value) is kind
    return not _is_built(kind) or (isinstance(value, dict) and "_target_" in value)


def _is_built(kind: Any) -> bool:
    """Whether values of a type are objects, with a node of their own."""
    return kind is Tensor or inspect.isabstract(kind) or get_origin(kind) is Callable


def words(kind: Any) -> str:
    """A type, for a message."""
    names = list(dict.fromkeys(_names(kind)))
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _names(kind: Any) -> list[str]:
    """What a value of a type may be, in words."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in UNIONS:
        return [name for option in inner if option is not Tensor for name in _names(option)]
    if origin is Literal:
        return [str(option) for option in inner]
    if origin in LISTS:
        number = f"{len(inner)} " if origin is tuple and inner[1:] != (...,) else ""
        return [f"a list of {number}{PLURALS.get(inner[0], 'values')}"]
    if kind is NoneType:
        return ["null"]
    other = "a node with a _target_" if _is_built(kind) else str(getattr(kind, "__name__", kind))
    return [WORDS.get(kind, other)]


def shown(value: Any) -> str:
    """A value as it is written in a configuration."""
    if value is None or value == "":
        return "null" if value is None else "nothing"
    return str(value).lower() if value in (True, False) else str(value)


def check_arguments(
    target: Callable[..., Any],
    arguments: Mapping[str, Any],
    keys: Mapping[str, str],
    parts: Sequence[Callable[..., Any]] = (),
) -> None:
    """Check the names and types of arguments against those of the target.

    Args:
        target: a class or function.
        arguments: plain values by name.
        keys: where each of them was set, for messages.
        parts: to what a target with `**parameters` hands these on.
    Raises:
        ValueError: for a name that is not taken, or a value of another type.
    """
    taken, takes_all = _parameters(target)
    if takes_all:
        for part in parts:
            others, takes_all = _parameters(part)
            taken = {**others, **taken}
    for name, value in arguments.items():
        if name not in taken and not takes_all:
            raise ValueError(
                f"{keys[name]} is not taken by {target.__name__}; choose one of {', '.join(taken)}"
            )
        kind = taken.get(name, Any)
        # What takes nothing but null says itself why.
        if kind is not NoneType and not fits(value, kind):
            raise ValueError(f"{keys[name]} must be {words(kind)}, got {shown(value)}")


def _parameters(target: Callable[..., Any]) -> tuple[dict[str, Any], bool]:
    """The types of a target's parameters by name, and whether it takes any others."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except (ValueError, TypeError):  # Written in C.
        return {}, True
    try:
        types = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except Exception:  # Annotations can be anything, such as names for a type checker alone.
        types = {}
    fixed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = {p.name: types.get(p.name, Any) for p in parameters if p.kind not in fixed}
    return named, any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
