"""The nodes of a configuration, found and checked without building any object."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from omegaconf import DictConfig, OmegaConf

from fokker.config.arguments import Signature, check_count, check_types, fits, shown, whole, words
from fokker.config.family import OF_NAMES, Family, Given
from fokker.config.keys import OF_ANY_DATA
from fokker.config.kinds import belongs, inside, is_base, is_unsaid, kind_words, made_by, unwritten
from fokker.config.mistakes import UnknownKey
from fokker.config.targets import told
from fokker.config.texts import check_final

#: Keys of a node that are for hydra.
TARGET, PARTIAL, RECURSIVE, CONVERT, ARGS = HYDRAS = (
    "_target_", "_partial_", "_recursive_", "_convert_", "_args_",
)  # fmt: skip
#: Nodes that fokker itself builds, once their parts are there, without a `_partial_`.
MADE_LATER = ("formulation", "optimizer.schedule")
#: A function that gives the signature of a target, which stands at a key.
Read = Callable[[str, Any], Signature]


@final
@dataclass(frozen=True)
class Node:
    """A node with a `_target_`.

    Attributes:
        key: the key where it stands.
        plain: its values, `_target_` among them.
        keys: the key where each value was set.
        taken: the signature of its target.
        kind: the kind of its place.
        is_made_later: whether fokker itself builds it, whatever its `_partial_` says.
        given: the arguments from fokker then: how many without a name, and which by name.
        known_later: the arguments that are put in before it is built.
    """

    key: str
    plain: dict[str, Any]
    keys: dict[str, str]
    taken: Signature
    kind: Any
    is_made_later: bool = False
    given: Given | None = None
    known_later: set[str] = field(default_factory=set)

    @property
    def target(self) -> str:
        return told(self.plain[TARGET])

    @property
    def arguments(self) -> dict[str, Any]:
        """Return all values that are not for hydra."""
        return {name: value for name, value in self.plain.items() if name not in HYDRAS}

    @property
    def is_partial(self) -> bool:
        return self.plain.get(PARTIAL) is True

    @property
    def called_with(self) -> Given | None:
        """Return the arguments of its call: how many without a name, and which by name.

        Nothing is given where hydra calls it; None where the caller is not known here.
        """
        return self.given if self.is_partial or self.is_made_later else (0, ())


def plain_of(node: DictConfig, key: str, family: Family) -> dict[str, Any]:
    """Return the values of a part of a family, without those that its class does not take."""
    plain: Any = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    check_final(plain, key)
    may_be_data = key in family.data or (not family.is_known and key in family.kinds)
    without = OF_ANY_DATA if may_be_data else ()
    return {name: value for name, value in plain.items() if name not in without}


def nodes(
    plain: object,
    raw: object,
    key: str,
    kind: object,
    read: Read,
    given: Mapping[str, Given],
    is_made_later: bool = False,
) -> Iterator[Node]:
    """Yield a node and all nodes inside it.

    Args:
        plain: the resolved values.
        raw: the values before they were resolved: a value `${sde}` was set at `sde`.
        key, kind: the key and the kind of their place.
        read: the function that gives the signature of a target, or refuses the target.
        given: the arguments from fokker for what it calls itself, by key.
        is_made_later: whether they are inside of what fokker builds later.
    """
    if isinstance(plain, dict):
        named = raw if isinstance(raw, dict) else {}
        keys = {name: _place(named.get(name), f"{key}.{name}") for name in plain}
        if is_made_later or key in MADE_LATER:
            is_made_later, kind = True, made_by(kind)
        taken = None
        if TARGET in plain:
            taken = read(f"{key}.{TARGET}", plain[TARGET])
            parts = [
                read(f"{keys[name]}.{TARGET}", value[TARGET])
                for name, value in plain.items()
                if isinstance(value, dict) and TARGET in value and value.get(PARTIAL)
            ]  # These are handed on uncalled.
            taken = taken.handing_on(parts)
            yield Node(key, plain, keys, taken, kind, is_made_later, given.get(key))
        for name, value in plain.items():
            found = taken.types.get(name, Any) if taken else inside(kind, str(name))
            if taken and name == ARGS and isinstance(value, list):
                found = tuple.__class_getitem__(tuple(taken.types[n] for n in taken.positional))
            yield from nodes(
                value, named.get(name), keys[name], found, read, given, is_made_later
            )
    elif isinstance(plain, list):
        listed = raw if isinstance(raw, list) else [None] * len(plain)
        for index, (value, before) in enumerate(zip(plain, listed)):
            place, found = _place(before, f"{key}[{index}]"), inside(kind, index)
            yield from nodes(value, before, place, found, read, given, is_made_later)


def _place(raw: Any, key: str) -> str:
    """Return the key where a value was set: `elsewhere` for `${elsewhere}`."""
    is_link = isinstance(raw, str) and raw.startswith("${") and raw.endswith("}")
    return raw[2:-1] if is_link and raw[2:-1].replace(".", "").isidentifier() else key


def check_nodes(found: Sequence[Node]) -> dict[str, Any]:
    """Check the arguments of nodes, and write 1e4 as a whole number where one is wanted.

    Args:
        found: the nodes, whose `plain` values are changed.
    Returns:
        the whole numbers, by the key where each was set.
    Raises:
        ValueError: for a value of another type or range.
    """
    changes: dict[str, Any] = {}
    for node in found:
        for name, value in node.arguments.items():
            number = whole(value, node.taken.types.get(name, Any))
            if number is not value:
                node.plain[name] = changes[node.keys[name]] = number
        check_types(node.taken, node.arguments, node.keys)
        listed = dict(zip(node.taken.positional, node.plain.get(ARGS, ())))
        places = {name: f"{node.key}.{ARGS}[{index}]" for index, name in enumerate(listed)}
        check_types(node.taken, listed, places)
        for name, value in node.arguments.items():
            if node.target.startswith("fokker."):  # Numbers of other packages may be no counts.
                check_count(node.keys[name], value, node.taken.types.get(name, Any))
            if node.target.startswith("torch.optim.") and value in (math.inf, -math.inf):
                raise ValueError(f"{node.keys[name]} must be finite, got {value}")
    return changes


def check_kinds(
    found: Sequence[Node], anywhere: Sequence[object], options: Collection[str] = ()
) -> None:
    """Check that each node is of the kind of its place, and can be called as it says.

    Args:
        found: the nodes.
        anywhere: the kinds that may stand where a place says none; empty: all may stand there.
        options: the targets that may also stand at the first node's place, if it says no kind.
    Raises:
        ValueError: with the key, what must be there, and what is.
    """
    for node in found:
        _check_hydras(node)
        if node is not found[0] or node.target not in options or not is_unsaid(node.kind):
            _check_kind(node, anywhere)
    for node in found:
        _check_names(node)


def _check_hydras(node: Node) -> None:
    """Refuse hydra's keys with values that hydra does not know or would quietly misread."""
    for name in (PARTIAL, RECURSIVE):
        if not isinstance(node.plain.get(name, True), bool):
            raise ValueError(
                f"{node.key}.{name} must be true or false, got {shown(node.plain[name])}"
            )
    if node.plain.get(CONVERT, "all") != "all":
        raise ValueError(
            f"{node.key}.{CONVERT} must be all, for classes are given plain lists and dicts, got "
            f"{shown(node.plain[CONVERT])}; remove it"
        )
    below = next(filter(None, map(_first_below, node.plain.values())), None)
    if node.plain.get(RECURSIVE) is False and below is not None:
        raise ValueError(
            f"{node.key}.{RECURSIVE} must be true, for {shown(below)} inside it is made before it, "
            "got false; remove it"
        )
    _check_listed(node, node.plain.get(ARGS, []))


def _check_listed(node: Node, listed: object) -> None:
    """Refuse an `_args_` that is no list, is too long, or repeats arguments given by name."""
    key, names = f"{node.key}.{ARGS}", node.taken.positional
    if not isinstance(listed, list):
        raise ValueError(f"{key} must be a list of arguments, got {shown(listed)}")
    if len(listed) > len(names) and not node.taken.takes_more:
        raise ValueError(
            f"{key} must have at most {len(names)} entries, which {node.taken.name} takes without "
            f"a name, got {len(listed)}; give arguments by name"
        )
    for index, name in enumerate(names[: len(listed)]):
        if name in node.plain:
            raise ValueError(
                f"{node.keys[name]} must be given once, and is {key}[{index}] too; remove one"
            )


def _first_below(value: object) -> Any:
    """Return the first target inside a value, if there is one."""
    if isinstance(value, dict) and TARGET in value:
        return value[TARGET]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next(filter(None, map(_first_below, inner)), None)


def _check_kind(node: Node, anywhere: Sequence[object]) -> None:
    """Refuse a class of another kind, a mere base class, and a wrong `_partial_`."""
    if not anywhere and is_unsaid(node.kind):
        return
    key, is_partial = node.key, node.is_partial and not node.is_made_later
    if not fits(node.plain, node.kind):
        raise ValueError(
            f"{key} must be {words(node.kind)}, got a node with the {TARGET} {node.target}; give "
            "it a value"
        )
    group = key.partition(".")[0]
    group = group if key.count(".") == (group in OF_NAMES) else ""
    choose = f"choose an option by {group}=NAME" if group else "name such a class"
    wanted = kind_words(node.kind, anywhere)
    if belongs(node.taken, is_partial, node.kind, anywhere):
        if node.taken.is_class and is_base(node.taken.gives):
            missing = unwritten(node.taken.gives)
            lacks = f"which lacks {', '.join(missing)}; define them"
            raise ValueError(
                f"{key}.{TARGET} must name a class that objects are made of, got {node.target}, "
                f"{lacks if missing else f'from which others are derived; {choose}'}"
            )
    elif not belongs(node.taken, not is_partial, node.kind, anywhere):
        raise ValueError(
            f"{key}.{TARGET} must name a class of the kind {wanted}, got {node.target}; {choose}, "
            "or derive one of yours from it"
        )
    elif is_partial:
        raise ValueError(
            f"{key}.{PARTIAL} must be false, for {node.target} is made at once and not called "
            "later, got true; remove it"
        )
    else:
        raise ValueError(
            f"{key}.{PARTIAL} must be true, for fokker itself calls {node.target} with the rest "
            f"that it takes, got false; say ++{key}.{PARTIAL}=true"
        )


def _check_names(node: Node) -> None:
    """Refuse arguments that the target does not take, that fokker gives, or that are missing."""
    taken, given = node.taken, node.arguments
    listed = taken.positional[: len(node.plain.get(ARGS, ()))]
    count, names = node.called_with or (0, ())
    lacking = [name for name in names if name not in taken.types and not taken.takes_all]
    if lacking:
        wanted, listing = " and ".join(names), ", ".join(taken.types) or "nothing by name"
        raise ValueError(
            f"{node.key}.{TARGET} must name what takes {wanted}, which fokker gives it, got "
            f"{node.target}, which takes {listing}; name one that does"
        )
    places = {name: f"{node.key}.{ARGS}[{index}]" for index, name in enumerate(listed)}
    for name, place in {**places, **{name: node.keys[name] for name in given}}.items():
        if name in names or name in taken.positional[:count]:
            raise ValueError(
                f"{place} must not be given, for fokker gives it to {taken.name}; remove it"
            )
        if name not in taken.types and (not taken.takes_all or str(name).startswith("_")):
            known = [n for n in taken.types if n not in (*names, *taken.positional[:count])]
            raise UnknownKey(place, f"is not taken by {taken.name}", known)
    if node.called_with is None:
        return
    there = {*given, *listed, *names, *taken.positional[:count], *node.known_later}
    for name in taken.required:
        if name not in there:
            raise ValueError(
                f"{node.key}.{name} must be given, for {node.target} needs it; say "
                f"+{node.key}.{name}=VALUE"
            )
