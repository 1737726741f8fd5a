"""The check that a target gives what its place takes, such as a network."""

import inspect
import sys
from abc import ABC
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FunctionType, NoneType
from typing import Any, Literal, Protocol, get_args, get_origin

from fokker.config.arguments import LISTS, UNIONS, Signature
from fokker.config.targets import begins_with

#: Base classes of other packages, which do nothing by themselves.
BASES = (
    "torch.nn.Module", "torch.optim.Optimizer", "torch.optim.lr_scheduler.LRScheduler",
    "torch.utils.data.Dataset", "torch.utils.data.IterableDataset",
    "lightning.LightningModule",
)  # fmt: skip
#: Packages that know nothing of fokker's protocols: their methods of the same name do not count.
OTHERS = ("torch", "lightning", "torchmetrics")
Kinds = Mapping[str, Any]


def kind_of(key: str, groups: Kinds) -> Any:
    """Return the kind of a key: of a group, or of an entry in one; Any elsewhere."""
    group, _, name = key.partition(".")
    kind = groups.get(group, Any)
    return inside(kind, name) if name and "." not in name else Any if name else kind


def inside(kind: object, place: str | int) -> Any:
    """Return the kind of an entry of a dict, by its name, or of a list, by its index."""
    for option in _options(kind):
        origin, inner = get_origin(option), get_args(option)
        if isinstance(place, str) and origin in (dict, Mapping) and inner:
            return inner[1]
        if isinstance(place, int) and origin in LISTS and inner:
            several = origin is not tuple or inner[1:] == (...,)
            return inner[0] if several else inner[place] if place < len(inner) else Any
    return Any


def made_by(kind: object) -> Any:
    """Return a kind, or for the kind of a function the kind of what that function makes."""
    return tuple(_result(option) if _is_maker(option) else option for option in _options(kind))


def belongs(taken: Signature, is_partial: bool, kind: object, anywhere: Sequence[object]) -> bool:
    """Tell whether what a target gives may stand in a place; an unknown kind may.

    Args:
        taken: the signature of the target.
        is_partial: whether the target is called later.
        kind: the kind of the place.
        anywhere: the kinds that may stand where the place says none.
    """
    if is_unsaid(kind):
        return taken.is_own or any(belongs(taken, False, part, ()) for part in anywhere)
    return any(_belongs(taken, is_partial, option) for option in _options(kind))


def is_unsaid(kind: object) -> bool:
    """Tell whether a place says no kind."""
    return any(map(_is_any, _options(kind)))


def _belongs(taken: Signature, is_partial: bool, kind: object) -> bool:
    gives, is_own = taken.gives, taken.is_own
    if get_origin(kind) is Literal:
        return False
    if not _is_maker(kind):
        return not is_partial and _is(gives, get_origin(kind) or kind, is_own)
    result = _result(kind)
    if is_partial:
        return _is_any(result) or any(_is(gives, option, is_own) for option in _options(result))
    if gives is Any or not isinstance(gives, type):
        return True
    # Hardly any class says what calling its objects gives; the user's own classes are trusted.
    is_free = is_own or _is_any(result) or getattr(result, "__name__", "") == "Tensor"
    return is_free and any("__call__" in vars(above) for above in gives.__mro__)


def _is(gives: object, kind: object, is_own: bool) -> bool:
    """Tell whether a class, or the return type of a function, may be of a kind."""
    if get_origin(gives) in UNIONS:
        return any(_is(option, kind, is_own) for option in get_args(gives))
    gives = get_origin(gives) or gives
    if gives is Any or not isinstance(gives, type):
        return True
    if not isinstance(kind, type):
        return _is_any(kind)
    if not getattr(kind, "_is_protocol", False):
        return issubclass(gives, kind)
    # A user's class need not derive from a protocol, but must define its methods itself.
    own = [c for c in gives.__mro__ if not any(begins_with(c.__module__, o) for o in OTHERS)]
    names = {name for above in own for name in vars(above)}
    return kind in gives.__mro__ or (is_own and _members(kind) <= names)


def _members(protocol: type) -> set[str]:
    """Return the names of the methods and properties that a protocol asks for."""
    asked = (FunctionType, property)
    above = [c for c in protocol.__mro__ if getattr(c, "_is_protocol", False) and c is not Protocol]
    found = {n for c in above for n, value in vars(c).items() if isinstance(value, asked)}
    return found - {"__init__"}


def is_base(kind: type) -> bool:
    """Tell whether a class is only a base to derive from, and makes no useful object."""
    is_own = begins_with(kind.__module__, "fokker") and ABC in kind.__bases__
    is_unwritten = inspect.isabstract(kind) or getattr(kind, "_is_protocol", False)
    return is_own or is_unwritten or public_name(kind) in BASES


def unwritten(kind: type) -> list[str]:
    """Return the methods that a user's class still has to define."""
    is_fokkers = begins_with(kind.__module__, "fokker")
    return [] if is_fokkers else sorted(getattr(kind, "__abstractmethods__", ()))


def kind_words(kind: object, anywhere: Sequence[object]) -> str:
    """Return the words for what a place takes, for a message."""
    made = tuple(anywhere) if is_unsaid(kind) else made_by(kind)
    found = dict.fromkeys(o for o in _options(made) if isinstance(get_origin(o) or o, type))
    names = [public_name(option) for option in found if option is not NoneType]
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def public_name(kind: Any) -> str:
    """Return the dotted name of a class, by the first package that has it."""
    kind = get_origin(kind) or kind
    name, parts = str(kind.__qualname__), str(kind.__module__).split(".")
    if parts == ["builtins"]:
        return name
    for count in range(1, len(parts)):
        package = ".".join(parts[:count])
        if vars(sys.modules.get(package, sys)).get(name) is kind:
            return f"{package}.{name}"
    return f"{kind.__module__}.{name}"


def _options(kind: object) -> Iterator[Any]:
    if isinstance(kind, tuple):
        for option in kind:
            yield from _options(option)
    elif get_origin(kind) in UNIONS:
        for option in get_args(kind):
            yield from _options(option)
    else:
        yield kind


def _is_any(kind: object) -> bool:
    """Tell whether a kind says nothing that can be checked, such as a type variable."""
    known = isinstance(kind, type) or get_origin(kind) is not None or kind in (None, NoneType)
    return kind is object or kind is Any or not known


def _is_maker(kind: object) -> bool:
    return kind is Callable or get_origin(kind) is Callable


def _result(kind: object) -> Any:
    return get_args(kind)[-1] if get_args(kind) else Any

