"""Whether a configuration gives a class the arguments that it takes, before it is called.

pydantic does not judge these types: it would ask for an object where the configuration has a node
with a `_target_`, take NaN for a number and no list for a tuple, and knows no class by its name
alone. To turn each type into one of its own takes as much as `fits`.
"""

import collections.abc
import inspect
import math
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, Union, final, get_args, get_origin, get_type_hints

from fokker.machine.named_files import one_line

UNIONS = (Union, UnionType)
LISTS = (Sequence, list, tuple)
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
PLURALS = {int: "whole numbers", float: "numbers", str: "texts"}
#: Of samples, steps, and all that is counted: more is a slip in the exponent.
MOST = 10**12
# Whole numbers that torch takes for numbers.
_LARGEST = 2**63 - 1


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


def whole(value: Any, kind: Any) -> Any:
    """Return the whole number that a number such as 1e4 is, where its type takes nothing else.

    Args:
        value: a plain value, or a list of such.
        kind: the type that is wanted.
    Returns:
        10000 for 1e4, or a list with such; the value itself where it fits, or no number would.
        The other way round 1e20 for 100000000000000000000, which torch takes for no number.
    """
    number = _changed(value, _short if fits(value, kind) else _whole)
    is_same = repr(number) == repr(value)
    return number if not is_same and fits(number, kind) else value


def _changed(value: Any, change: Callable[[Any], Any]) -> Any:
    return [_changed(v, change) for v in value] if isinstance(value, list) else change(value)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _short(value: Any) -> Any:
    if type(value) is not int or abs(value) <= _LARGEST:
        return value
    if abs(value) < sys.float_info.max:
        return float(value)
    return math.inf if value > 0 else -math.inf


def _is_built(kind: Any) -> bool:
    """Whether values of a type are objects, with a node of their own."""
    return _is_tensor(kind) or inspect.isabstract(kind) or get_origin(kind) is Callable


def _is_tensor(kind: Any) -> bool:
    """Tell torch's type, which is not imported for it, by its name."""
    return getattr(kind, "__name__", "") == "Tensor"


def words(kind: Any) -> str:
    """A type, for a message."""
    names = list(dict.fromkeys(_names(kind)))
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _names(kind: Any) -> list[str]:
    """What a value of a type may be, in words."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in UNIONS:
        return [name for option in inner if not _is_tensor(option) for name in _names(option)]
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
    """A value as it is written in a configuration, in one line."""
    if value is None or value == "":
        return "null" if value is None else "nothing"
    return str(value).lower() if value in (True, False) else one_line(str(value))


def check_count(key: str, value: Any, kind: Any) -> None:
    """Refuse a whole number, or one in a list, that is larger than any count.

    Numbers of any kind are free, and so are seeds.

    Raises:
        ValueError: says the key, the rule and the value.
    """
    if key.rpartition(".")[2] == "seed":
        return
    for number in value if isinstance(value, list) else [value]:
        if type(number) is int and number > MOST and not fits(0.5, kind) and not fits([0.5], kind):
            raise ValueError(f"{key} must be at most {MOST:,}, got {_short(number):.3g}")


@final
@dataclass(frozen=True)
class Signature:
    """What a class or function takes.

    Attributes:
        name: of the class or function.
        types: by parameter.
        takes_all: whether it takes any others too.
        required: parameters that have no default.
        positional: parameters that need not be named, in order.
        takes_more: whether it takes more of these.
        gives: the class, or the type that the function says to return; any if it says none.
        is_class: whether it is one.
        is_own: whether it is the user's.
    """

    name: str
    types: Mapping[str, Any]
    takes_all: bool
    required: Sequence[str] = ()
    positional: Sequence[str] = ()
    takes_more: bool = True
    gives: Any = Any
    is_class: bool = False
    is_own: bool = False

    def handing_on(self, parts: Sequence["Signature"]) -> "Signature":
        """With what it hands on to others, if it has `**parameters`."""
        if not self.takes_all or not parts or self.gives is Any:  # Of what is not read.
            return self
        others = {name: kind for part in parts for name, kind in part.types.items()}
        needed = [name for part in (self, *parts) for name in part.required]
        return replace(
            self,
            types={**others, **self.types},
            takes_all=any(part.takes_all for part in parts),
            required=tuple(dict.fromkeys(needed)),
        )


def check_types(taken: Signature, arguments: Mapping[str, Any], keys: Mapping[str, str]) -> None:
    """Check the types of arguments against those of their target.

    Args:
        taken: what the target takes.
        arguments: plain values by name.
        keys: where each of them was set, for messages.
    Raises:
        ValueError: for a value of another type.
    """
    for name, value in arguments.items():
        kind = taken.types.get(name, Any)
        # What takes nothing but null says itself why.
        if kind is not NoneType and not fits(value, kind):
            raise ValueError(f"{keys[name]} must be {words(kind)}, got {shown(value)}")


def signature(target: Callable[..., Any]) -> Signature:
    """Return what an imported class or function takes."""
    is_class = inspect.isclass(target)
    if _is_made_by_protocol(target):
        return Signature(target.__name__, {}, False, takes_more=False, gives=target, is_class=True)
    try:
        parameters = inspect.signature(target).parameters.values()
    except (ValueError, TypeError):  # Written in C.
        gives = target if is_class else Any
        return Signature(target.__name__, {}, True, gives=gives, is_class=is_class)
    types = _hints(target.__init__ if is_class else target)
    fixed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = [p for p in parameters if p.kind not in fixed]
    return Signature(
        target.__name__,
        {p.name: types.get(p.name, Any) for p in named},
        takes_all=any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters),
        required=tuple(p.name for p in named if p.default is p.empty),
        positional=tuple(p.name for p in named if p.kind is not inspect.Parameter.KEYWORD_ONLY),
        takes_more=any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters),
        gives=target if is_class else types.get("return", Any),
        is_class=is_class,
    )


def _is_made_by_protocol(target: Callable[..., Any]) -> bool:
    """Whether the constructor is that of a protocol, which takes nothing and says anything."""
    above = inspect.getmro(target) if inspect.isclass(target) else ()
    maker = next((c for c in above if "__init__" in vars(c)), object)
    return bool(getattr(maker, "_is_protocol", False))


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function, which can be anything: names for a type checker alone."""
    for names in (None, {**vars(typing), **vars(collections.abc)}):
        try:
            return get_type_hints(target, localns=names)
        except Exception:
            continue
    return {}
