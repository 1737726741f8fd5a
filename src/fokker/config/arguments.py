"""A check that a configuration gives a class the arguments that it takes, before the call.

pydantic does not judge these types: it would ask for an object where the configuration has a node
with a `_target_`, accept NaN as a number and refuse a list for a tuple, and it knows no class by
its name alone. Translating each type into one of pydantic's would take as much code as `fits`.
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
#: The largest count of samples, steps and the like: more is a slip in the exponent.
MOST = 10**12
# The largest whole number that torch accepts.
_LARGEST = 2**63 - 1


def fits(value: object, kind: object) -> bool:
    """Tell whether a plain value of a configuration is of a type; an unknown type takes any."""
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


def whole(value: object, kind: object) -> Any:
    """Return a number such as 1e4 as a whole number, where its type takes nothing else.

    Args:
        value: a plain value, or a list of plain values.
        kind: the type that is wanted.
    Returns:
        10000 for 1e4, or a list of such numbers; the value itself if it fits already, or if no
        whole number would. Conversely 1e20 for 100000000000000000000, which torch does not accept.
    """
    number = _changed(value, _short if fits(value, kind) else _whole)
    is_same = repr(number) == repr(value)
    return number if not is_same and fits(number, kind) else value


def _changed(value: object, change: Callable[[Any], Any]) -> Any:
    return [_changed(v, change) for v in value] if isinstance(value, list) else change(value)


def _whole(value: object) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _short(value: object) -> Any:
    if type(value) is not int or abs(value) <= _LARGEST:
        return value
    if abs(value) < sys.float_info.max:
        return float(value)
    return math.inf if value > 0 else -math.inf


def _is_built(kind: object) -> bool:
    """Tell whether values of a type are objects, which have a node of their own."""
    return _is_tensor(kind) or inspect.isabstract(kind) or get_origin(kind) is Callable


def _is_tensor(kind: object) -> bool:
    """Tell by its name whether a type is torch's Tensor, so that torch need not be imported."""
    return getattr(kind, "__name__", "") == "Tensor"


def words(kind: object) -> str:
    """Describe a type, for a message."""
    names = list(dict.fromkeys(_names(kind)))
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _names(kind: Any) -> list[str]:
    """List in words what a value of a type may be."""
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


def shown(value: object) -> str:
    """Return a value as it is written in a configuration, in one line."""
    if value is None or value == "":
        return "null" if value is None else "nothing"
    return str(value).lower() if value in (True, False) else one_line(str(value))


def check_count(key: str, value: object, kind: object) -> None:
    """Refuse a whole number, or one in a list, that is larger than any count.

    A parameter that takes fractions too has no such limit, nor has a seed.

    Raises:
        ValueError: with the key, the rule and the value.
    """
    if key.rpartition(".")[2] == "seed":
        return
    for number in value if isinstance(value, list) else [value]:
        if type(number) is int and number > MOST and not fits(0.5, kind) and not fits([0.5], kind):
            raise ValueError(f"{key} must be at most {MOST:,}, got {_short(number):.3g}")


@final
@dataclass(frozen=True)
class Signature:
    """The parameters and the result of a class or function.

    Attributes:
        name: the name of the class or function.
        types: the type of each parameter, by name.
        takes_all: whether other named arguments may be given too.
        required: the parameters that have no default.
        positional: the parameters that need not be named, in order.
        takes_more: whether more arguments without a name may be given.
        gives: the class, or the annotated return type of the function; `Any` if it has none.
        is_class: whether it is a class.
        is_own: whether it is the user's own.
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
        """Add the parameters of the parts that this target hands its `**parameters` on to."""
        # If the result of a target is unknown, so is what it hands on.
        if not self.takes_all or not parts or self.gives is Any:
            return self
        others = {name: kind for part in parts for name, kind in part.types.items()}
        needed = [name for part in (self, *parts) for name in part.required]
        return replace(
            self,
            types={**others, **self.types},
            takes_all=any(part.takes_all for part in parts),
            required=tuple(dict.fromkeys(needed)),
        )


def check_types(taken: Signature, arguments: Mapping[str, object], keys: Mapping[str, str]) -> None:
    """Check the types of arguments against those of their target.

    Args:
        taken: the signature of the target.
        arguments: the plain values by name.
        keys: the key where each value was set, for messages.
    Raises:
        ValueError: for a value of another type.
    """
    for name, value in arguments.items():
        kind = taken.types.get(name, Any)
        # A target that takes only null here refuses other values itself, and says why.
        if kind is not NoneType and not fits(value, kind):
            raise ValueError(f"{keys[name]} must be {words(kind)}, got {shown(value)}")


def signature(target: Callable[..., Any]) -> Signature:
    """Return what an imported class or function takes."""
    is_class = inspect.isclass(target)
    if _is_made_by_protocol(target):
        return Signature(target.__name__, {}, False, takes_more=False, gives=target, is_class=True)
    try:
        parameters = inspect.signature(target).parameters.values()
    except (ValueError, TypeError):  # The target is written in C.
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
    """Tell whether the constructor is a protocol's: it takes nothing, but declares `*args`."""
    above = inspect.getmro(target) if inspect.isclass(target) else ()
    maker = next((c for c in above if "__init__" in vars(c)), object)
    return bool(getattr(maker, "_is_protocol", False))


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a function; nothing if only a type checker knows the names."""
    for names in (None, {**vars(typing), **vars(collections.abc)}):
        try:
            return get_type_hints(target, localns=names)
        except Exception:
            continue
    return {}
