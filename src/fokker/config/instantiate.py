"""The one way from configuration to objects, by an allow-list of targets."""

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

#: Hydra from 1.4 on has a list of its own, and warns without it.
HYDRAS_LIST = "_execution_whitelist_"


@final
class Builder:
    """Builds objects from nodes of a configuration.

    A target must begin with an allowed name, by whole dotted parts, and so must the module of the
    class that it leads to: `torch.nn.functional.torch.hub.load` passes a check of its name alone.
    What it gives must be of the kind of the place where it stands. Nested and partial targets are
    checked before anything is built.

    Args:
        allow: names besides fokker, torch.nn and torch.optim.
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
        #: Classes and functions of the user's that were built, for the model's identity.
        self.own_classes: list[Any] = []
        #: Whole numbers in place of such as 1e4, by the key where each was set.
        self.whole: dict[str, Any] = {}

    def know(self, formulation: DictConfig) -> Family:
        """Take in what the class of a formulation says of the configuration, and return it.

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

    def __call__(self, node: DictConfig, key: str, **changes: Any) -> Any:
        """The object that a node describes.

        Args:
            node: with a `_target_`.
            key: where it stands, which says the kind of the object.
            changes: entries in place of the node's.
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
        """The class that a node's target is, or what it says that it gives; any if it says nothing.

        Raises:
            ValueError: for a target that is not allowed, or none of the kind of its place.
        """
        _, found = self._nodes(node, key)
        return found[0].taken.gives

    def check_all(self, parts: Iterable[tuple[str, DictConfig]]) -> None:
        """Check the targets of several parts, and what they are called with, but for its types.

        Args:
            parts: nodes, by key.
        Raises:
            ValueError: as for one that is built here.
        """
        for key, node in parts:
            self._nodes(node, key)

    def check(self, node: DictConfig, key: str, kind: Any = Any) -> None:
        """Check all targets in a node, which others build.

        Args:
            node: with or without a `_target_` of its own.
            key: where it stands.
            kind: of it.
        Raises:
            ValueError: as for one that is built here.
        """
        plain: Any = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
        check_final(plain, key)
        found = list(self._found_in(node, plain, key, kind))
        check_kinds(found, self._inside)
        check_nodes(found)

    def _nodes(self, node: DictConfig, key: str) -> tuple[dict[str, Any], list[Node]]:
        """A part and all nodes in it, of which each has its kind."""
        if not isinstance(node, DictConfig) or "_target_" not in node:
            raise ValueError(f"{key} must be a node with a _target_, got {node}")
        plain, kind = plain_of(node, key, self._family), kind_of(key, self._groups)
        found = list(self._found_in(node, plain, key, kind))
        # Where a formulation says no kinds its own `way` says what fits, of all that may be chosen.
        check_kinds(found, self._inside, targets_of_options(key))
        return plain, found

    def _found_in(self, node: DictConfig, plain: Any, key: str, kind: Any) -> Iterator[Node]:
        raw = OmegaConf.to_container(node)
        return nodes(plain, raw, key, kind, self._read, self._family.given)

    def _check_made(self, made: Any, node: Node) -> None:
        """Refuse what a function gives that does not say in its annotation what this is."""
        if node.is_partial or node.is_made_later or node.taken.gives is not Any:
            return
        taken = replace(node.taken, gives=type(made))
        if not belongs(taken, False, node.kind, self._inside):
            wanted = kind_words(node.kind, self._inside)
            raise ValueError(
                f"{node.key}._target_ must name what gives {wanted}, got {node.target}, which "
                f"gives {type(made).__name__}; let it return one"
            )

    def _told_to_hydra(self) -> dict[str, list[str]]:
        is_known = HYDRAS_LIST in inspect.signature(instantiate).parameters
        names = [*(f"{name}.*" for name in (*ALLOWED, *self._own)), *DATASETS]
        return {HYDRAS_LIST: names} if is_known else {}

    def _read(self, key: str, target: Any) -> Signature:
        """What the class or function takes that a target leads to, if it is allowed."""
        name = check_name(key, target, self._own)
        if name not in self._known:
            self._found[name], is_own = self._allowed(key, name)
            self._known[name] = replace(signature(self._found[name]), is_own=is_own)
        return self._known[name]

    def _allowed(self, key: str, target: str) -> tuple[Callable[..., Any], bool]:
        """The class or function that a name leads to, and whether it is the user's."""
        try:
            found = _get_quietly(target)
        except Exception as error:  # Import errors of all kinds, a user's own among them.
            why = " ".join(str(error).split())
            raise ValueError(f"{key}: {target} cannot be imported: {why}") from error
        own = any(begins_with(target, prefix) for prefix in self._own)
        # A package of the user's may hand on what another one defines.
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
    """What a target leads to; what hydra logs of a failure is in the error too."""
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
    if name.startswith("data."):  # Data say where they most often stand.
        name = key + name.removeprefix("data")
    # So it is with `high=3` behind it.
    rest = re.sub(r"(?<![\w.])(\w+)(?==)", lambda found: keys.get(found[1], found[1]), rest)
    return f"{keys.get(name, name)}{space}{rest}"


def uncalled(node: Any) -> Any:
    """A node with all nodes inside it, to be handed on as what makes the objects."""
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=True)
    if isinstance(node, dict):
        partial = {"_partial_": True} if "_target_" in node else {}
        return {**{key: uncalled(value) for key, value in node.items()}, **partial}
    return [uncalled(value) for value in node] if isinstance(node, list) else node
