"""The one way from configuration to objects, by an allow-list of targets."""

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from fokker.cli.arguments import signature
from fokker.cli.nodes import Node, check_nodes, nodes

ALLOWED = ("fokker", "torch.nn", "torch.optim", "lightning", "torchmetrics")
#: Functions that may be a target; everything else must be a class.
FUNCTIONS = ("fokker.distributions.two_moons", "fokker.distributions.swiss_roll")
#: Datasets of others, which run nothing by themselves, for `data.dataset`.
DATASETS = ("torch.utils.data.ConcatDataset", "torch.utils.data.Subset")
#: Hydra from 1.4 on has a list of its own, and warns without it.
HYDRAS_LIST = "_execution_whitelist_"


def _begins_with(name: str, prefix: str) -> bool:
    return f"{name}.".startswith(f"{prefix}.")


@final
class Builder:
    """Builds objects from nodes of a configuration.

    A target must begin with an allowed name, by whole dotted parts, and so must the module of the
    class that it leads to: `torch.nn.functional.torch.hub.load` passes a check of its name alone.
    Nested and partial targets are checked before anything is built.

    Args:
        allow: names besides fokker, torch.nn, torch.optim, lightning and torchmetrics.
    Raises:
        ValueError: for a name that would allow everything.
    """

    def __init__(self, allow: Sequence[str] = ()) -> None:
        for name in allow:
            if not all(part.isidentifier() for part in name.split(".")):
                raise ValueError(
                    f"allow_targets must list names of packages, such as my_package, got {name!r}"
                )
        self._own, self._allowed = tuple(allow), (*ALLOWED, *allow)
        #: Classes and functions of the user's that were built, for the model's identity.
        self.own_classes: list[Any] = []
        #: Whole numbers in place of such as 1e4, by the key where each was set.
        self.whole: dict[str, Any] = {}

    def __call__(self, node: DictConfig, key: str, **changes: Any) -> Any:
        """The object that a node describes.

        Args:
            node: with a `_target_`.
            key: where it stands, for messages.
            changes: entries in place of the node's.
        Raises:
            ValueError: for a target that is not allowed, or what the class itself refuses.
        """
        if not isinstance(node, DictConfig) or "_target_" not in node:
            raise ValueError(f"{key} must be a node with a _target_, got {node}")
        plain: Any = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
        found = list(nodes(plain, OmegaConf.to_container(node), key))
        self._check_all(found)
        try:
            return instantiate({**plain, **changes}, _convert_="all", **self._told_to_hydra())
        except InstantiationException as error:
            cause = error.__cause__ or error
            raise ValueError(_sentence(cause, key, found[0].keys)) from cause

    def check(self, node: DictConfig, key: str) -> None:
        """Check all targets in a node, which others build.

        Raises:
            ValueError: as for one that is built here.
        """
        plain: Any = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
        self._check_all(list(nodes(plain, OmegaConf.to_container(node), key)))

    def _check_all(self, found: Sequence[Node]) -> None:
        known = {n.target: signature(self._check(f"{n.key}._target_", n.target)) for n in found}
        self.whole.update(check_nodes(found, known))

    def _told_to_hydra(self) -> dict[str, list[str]]:
        is_known = HYDRAS_LIST in inspect.signature(instantiate).parameters
        names = [*(f"{name}.*" for name in self._allowed), *DATASETS]
        return {HYDRAS_LIST: names} if is_known else {}

    def _check(self, key: str, target: str) -> Callable[..., Any]:
        """The class or function that a target leads to, if it is allowed."""
        allowed = self._allowed
        rule = f"{key} must name a class in {', '.join(allowed)}, got {target}"
        if target not in DATASETS and not any(_begins_with(target, name) for name in allowed):
            raise ValueError(
                f"{rule}; to use a package of your own, add its name: allow_targets=[my_package]"
            )
        try:
            found = _get_quietly(target)
        except Exception as error:  # Import errors of all kinds, a user's own among them.
            why = " ".join(str(error).split())
            raise ValueError(f"{key}: {target} cannot be imported: {why}") from error
        own = any(_begins_with(target, prefix) for prefix in self._own)
        is_function = target in FUNCTIONS or (own and inspect.isfunction(found))
        module = getattr(found, "__module__", None) or ""
        is_fit = inspect.isclass(found) or is_function
        is_known = target in DATASETS or any(_begins_with(module, prefix) for prefix in allowed)
        if not is_fit or not is_known:
            what = "a class" if inspect.isclass(found) else "no class"
            name = f"{module}.{getattr(found, '__name__', type(found).__name__)}".strip(".")
            raise ValueError(f"{rule}, which is {name}, {what}; name a class where it is defined")
        if own:
            self.own_classes.append(found)
        fit: Callable[..., Any] = found
        return fit


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
        return f"{key} cannot be built: {type(cause).__name__}: {cause}".splitlines()[0]
    # A distribution says `low must be ...`, for it does not know that it stands at `data`.
    name, space, rest = str(cause).partition(" ")
    return f"{keys.get(name, name)}{space}{rest}"


def uncalled(node: Any) -> Any:
    """A node with all nodes inside it, to be handed on as what makes the objects."""
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=True)
    if isinstance(node, dict):
        partial = {"_partial_": True} if "_target_" in node else {}
        return {**{key: uncalled(value) for key, value in node.items()}, **partial}
    return [uncalled(value) for value in node] if isinstance(node, list) else node
