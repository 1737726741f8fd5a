"""The only step from a configuration to objects, by an allow-list of targets."""

import inspect
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, final

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from fokker.config.arguments import Signature, signature
from fokker.config.choices import targets_of_options
from fokker.config.family import Family, family_of
from fokker.config.kinds import belongs, kind_of, kind_words
from fokker.config.nodes import Node, check_kinds, check_nodes, nodes, plain_of
from fokker.config.parts import Inside, Parts
from fokker.config.targets import (
    ALLOWED,
    DATASETS,
    FUNCTIONS,
    begins_with,
    check_name,
    own_names,
    rule,
)
from fokker.config.texts import check_final
from fokker.machine.own_code import in_words

#: The parameter of an allow-list that hydra has from 1.4 on; hydra warns without it.
HYDRAS_LIST = "_execution_whitelist_"


@final
class Builder:
    """A builder of objects from nodes of a configuration.

    A target must begin with an allowed name, by whole dotted parts, and so must the module of the
    class that it leads to: a check of names would let `torch.nn.functional.torch.hub.load` pass.
    A target must give an object of the kind of the place where it stands. Nested and partial
    targets are checked before anything is built.

    Args:
        allow: the allowed names besides fokker, torch.nn and torch.optim.
    Raises:
        ValueError: for a name that would allow everything, or is private.
    """

    def __init__(self, allow: Sequence[str] = ()) -> None:
        self._own = own_names(allow)
        self._known: dict[str, Signature] = {}
        self._found: dict[str, Callable[..., Any]] = {}
        self._family = Family()
        self._groups = dict(signature(Parts).types)
        self._inside = list(signature(Inside).types.values())
        #: The user's classes and functions that objects were built from, for the model's identity.
        self.own_classes: list[Any] = []
        #: Whole numbers in place of numbers such as 1e4, by the key where each was set.
        self.whole: dict[str, Any] = {}

    def know(self, formulation: DictConfig) -> Family:
        """Read what the class of a formulation says of the configuration, keep it and return it.

        Raises:
            ValueError: for a target that is not allowed, or gives no formulation.
        """
        target = formulation.get("_target_")
        kind = self._read("formulation._target_", target).gives
        if kind is Any or not isinstance(kind, type):  # Any is a type from python 3.11 on.
            raise ValueError(
                "formulation._target_ must name a class derived from fokker.formulation."
                "Formulation, or a function whose annotation says which one it returns, got "
                f"{target}"
            )
        self._family = family_of(kind)
        self._groups = {**signature(Parts).types, **self._family.kinds}
        self._inside = [*signature(Inside).types.values(), *self._family.kinds.values()]
        self._nodes(formulation, "formulation")
        return self._family

    def __call__(self, node: DictConfig, key: str, **changes: object) -> Any:
        """Build the object that a node describes.

        Args:
            node: the node, with a `_target_`.
            key: the key where it stands, which decides the kind of the object.
            changes: the entries that replace the node's.
        Raises:
            ValueError: for a target that is not allowed, or what the class itself refuses.
        """
        plain, found = self._nodes(node, key)
        self.whole.update(check_nodes(found))
        self.own_classes += [self._found[n.target] for n in found if n.taken.is_own]
        try:
            made = instantiate({**plain, **changes}, _convert_="all", **self._told_to_hydra())
        except InstantiationException as error:
            cause = error.__cause__ or error
            raise ValueError(_sentence(cause, key, found[0].keys)) from cause
        self._check_made(made, found[0])
        return made

    def gives(self, node: DictConfig, key: str) -> Any:
        """Return the class of a node's target, or a function's annotated result; `Any` without one.

        Raises:
            ValueError: for a target that is not allowed, or not of the kind of its place.
        """
        _, found = self._nodes(node, key)
        return found[0].taken.gives

    def check_all(self, parts: Iterable[tuple[str, DictConfig]]) -> None:
        """Check the targets of several parts, and the names of their arguments but not the types.

        Args:
            parts: the nodes with their keys.
        Raises:
            ValueError: as for a node that is built here.
        """
        for key, node in parts:
            self._nodes(node, key)

    def check(self, node: DictConfig, key: str, kind: object = Any) -> None:
        """Check all targets in a node that hydra builds itself.

        Args:
            node: the node, with or without a `_target_` of its own.
            key: the key where it stands.
            kind: the kind of its place.
        Raises:
            ValueError: as for a node that is built here.
        """
        plain: Any = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
        check_final(plain, key)
        found = list(self._found_in(node, plain, key, kind))
        check_kinds(found, self._inside)
        check_nodes(found)

    def _nodes(self, node: DictConfig, key: str) -> tuple[dict[str, Any], list[Node]]:
        """Return a part's plain values and all nodes in it, after a check of their kinds."""
        if not isinstance(node, DictConfig) or "_target_" not in node:
            raise ValueError(f"{key} must be a node with a _target_, got {node}")
        plain, kind = plain_of(node, key, self._family), kind_of(key, self._groups)
        found = list(self._found_in(node, plain, key, kind))
        # Without kinds from the formulation any option may stand here, and its `way` judges them.
        check_kinds(found, self._inside, targets_of_options(key))
        return plain, found

    def _found_in(self, node: DictConfig, plain: object, key: str, kind: object) -> Iterator[Node]:
        raw = OmegaConf.to_container(node)
        return nodes(plain, raw, key, kind, self._read, self._family.given)

    def _check_made(self, made: object, node: Node) -> None:
        """Refuse an object of a wrong kind from a function without an annotation of its result."""
        if node.is_partial or node.is_made_later or node.taken.gives is not Any:
            return
        taken = replace(node.taken, gives=type(made))
        if not belongs(taken, False, node.kind, self._inside):
            wanted = kind_words(node.kind, self._inside)
            raise ValueError(
                f"{node.key}._target_ must name what gives {wanted}, got {node.target}, which "
                f"gives {type(made).__name__}; return one"
            )

    def _told_to_hydra(self) -> dict[str, list[str]]:
        is_known = HYDRAS_LIST in inspect.signature(instantiate).parameters
        names = [*(f"{name}.*" for name in (*ALLOWED, *self._own)), *DATASETS]
        return {HYDRAS_LIST: names} if is_known else {}

    def _read(self, key: str, target: object) -> Signature:
        """Return what the class or function of a target takes, if the target is allowed."""
        name = check_name(key, target, self._own)
        if name not in self._known:
            self._found[name], is_own = self._allowed(key, name)
            self._known[name] = replace(signature(self._found[name]), is_own=is_own)
        return self._known[name]

    def _allowed(self, key: str, target: str) -> tuple[Callable[..., Any], bool]:
        """Return the class or function that a name leads to, and whether it is the user's."""
        try:
            found = _get_quietly(target)
        except Exception as error:  # Import errors of all kinds, a user's own among them.
            why = " ".join(str(error).split())
            raise ValueError(f"{key}: {target} cannot be imported: {why}") from error
        own = any(begins_with(target, prefix) for prefix in self._own)
        # A package of the user's may re-export what an allowed one defines.
        homes = [*self._own, *(name for name in ALLOWED if own or begins_with(target, name))]
        is_function = target in FUNCTIONS or (own and inspect.isfunction(found))
        module = getattr(found, "__module__", None) or ""
        is_fit = inspect.isclass(found) or is_function
        is_known = target in DATASETS or any(begins_with(module, prefix) for prefix in homes)
        if not is_fit or not is_known:
            what = "a class" if inspect.isclass(found) else "no class"
            name = f"{module}.{getattr(found, '__name__', type(found).__name__)}".strip(".")
            said = rule(key, target, self._own)
            raise ValueError(f"{said}, which is {name}, {what}; name a class where it is defined")
        fit: Callable[..., Any] = found
        return fit, own


def _get_quietly(target: str) -> Any:
    """Return what a target leads to, without hydra's log: its error says the same."""
    log = logging.getLogger("hydra.utils")
    log.disabled = True
    try:
        return get_object(target)
    finally:
        log.disabled = False


def _sentence(cause: BaseException, key: str, keys: Mapping[str, str]) -> str:
    if not isinstance(cause, ValueError):
        return f"{key} cannot be built: {in_words(cause)}"
    # A distribution says `low must be ...`, for it does not know that it stands at `data`.
    name, space, rest = str(cause).partition(" ")
    if name.startswith("data."):  # Data name the key where they stand most often.
        name = key + name.removeprefix("data")
    # The same holds for a `high=3` after it.
    rest = re.sub(r"(?<![\w.])(\w+)(?==)", lambda found: keys.get(found[1], found[1]), rest)
    return f"{keys.get(name, name)}{space}{rest}"


def uncalled(node: object) -> Any:
    """Return a copy of a node in which all nodes are partial, so that they are called later."""
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=True)
    if isinstance(node, dict):
        partial = {"_partial_": True} if "_target_" in node else {}
        return {**{key: uncalled(value) for key, value in node.items()}, **partial}
    return [uncalled(value) for value in node] if isinstance(node, list) else node
