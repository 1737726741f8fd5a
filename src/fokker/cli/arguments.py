"""Whether a configuration gives a class the arguments that it takes, before it is called."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import Tensor

UNIONS = (Union, UnionType)
LISTS = (Sequence, list, tuple)
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


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
        return type(value) in (int, float) and value == value
    if kind in (int, bool, str, NoneType):
        return type(value) is kind
    if _is_part(kind):
        return isinstance(value, dict) and "_target_" in value
    return True


def _is_part(kind: Any) -> bool:
    """Whether values of a type are objects that have a node of their own."""
    return kind is Tensor or inspect.isabstract(kind) or get_origin(kind) is Callable


def words(kind: Any) -> str:
    """A type for a message."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in UNIONS:
        return " or ".join(dict.fromkeys(words(option) for option in inner if option is not Tensor))
    if origin is Literal:
        return " or ".join(map(str, inner))
    if origin in LISTS:
        number = f" of {len(inner)}" if origin is tuple and inner[1:] != (...,) else ""
        return f"a list{number}, each {words(inner[0])}"
    if kind is NoneType:
        return "null"
    is_part = _is_part(kind)
    return WORDS.get(kind, "a node with a _target_" if is_part else getattr(kind, "__name__", "?"))


def shown(value: Any) -> str:
    """A value as it is written in a configuration."""
    return {True: "true", False: "false"}[value] if value in (True, False) else str(value)


def check_arguments(
    target: Callable[..., Any],
    arguments: Mapping[str, Any],
    keys: Mapping[str, str],
    parts: Sequence[Callable[..., Any]] = (),
) -> None:
    """Check names and types of arguments against the target's own.

    Args:
        target: a class or function.
        arguments: plain values by name.
        keys: where each of them was set, for messages.
        parts: what a target with `**parameters` hands these on to.
    Raises:
        ValueError: for a name that is not taken, or a value of another type.
    """
    taken = _parameters(target)
    if None in taken.values():
        pass
    raise NotImplementedError
