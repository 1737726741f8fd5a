"""The one way from configuration to objects, by an allow-list of targets."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, final

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

ALLOWED = ("fokker", "torch.nn", "torch.optim", "lightning", "torchmetrics")
#: Functions that may be a target; everything else must be a class.
FUNCTIONS = ("fokker.distributions.two_moons", "fokker.distributions.swiss_roll")


def _begins_with(name: str, prefix: str) -> bool:
    return f"{name}.".startswith(f"{prefix}.")


def _targets(node: Any, key: str) -> Iterator[tuple[str, str]]:
    """(key, target) of a node and all that is inside it."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield f"{key}._target_", str(node["_target_"])
        for name, value in node.items():
            yield from _targets(value, f"{key}.{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _targets(value, f"{key}[{index}]")


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
        self._own = tuple(allow)
        #: Classes of the user's that were built, for the model's identity.
        self.own_classes: list[type] = []

    def __call__(self, node: DictConfig | ListConfig, key: str, **changes: Any) -> Any:
        """The object that a node describes.

        Args:
            node: with a `_target_`.
            key: where it stands, for messages.
            changes: entries in place of the node's.
        Raises:
            ValueError: for a target that is not allowed, or what the class itself refuses.
        """
        plain = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
        for place, target in _targets(plain, key):
            self._check(place, target)
        if isinstance(plain, dict):
            plain.update(changes)
        try:
            return instantiate(plain, _convert_="all")
        except InstantiationException as error:
            cause = error.__cause__ or error
            raise ValueError(_sentence(cause, key)) from cause

    def _check(self, key: str, target: str) -> None:
        allowed = (*ALLOWED, *self._own)
        rule = (
            f"{key} must name a class in {', '.join(allowed)}, got {target}; to use a package of "
            "your own, add its name: allow_targets=[my_package]"
        )
        if not any(_begins_with(target, prefix) for prefix in allowed):
            raise ValueError(rule)
        try:
            found = get_object(target)
        except Exception as error:  # Import errors of all kinds, a user's own among them.
            raise ValueError(f"{key}: {target} cannot be imported: {error}") from error
        own = any(_begins_with(target, prefix) for prefix in self._own)
        is_function = target in FUNCTIONS or (own and inspect.isfunction(found))
        module = getattr(found, "__module__", None) or ""
        is_fit = inspect.isclass(found) or is_function
        if not is_fit or not any(_begins_with(module, prefix) for prefix in allowed):
            raise ValueError(f"{rule} ({target} is {module}.{getattr(found, '__name__', '')})")
        if own and inspect.isclass(found):
            self.own_classes.append(found)


def _sentence(cause: BaseException, key: str) -> str:
    if isinstance(cause, ValueError):
        return str(cause)
    return f"{key} cannot be built: {type(cause).__name__}: {cause}".splitlines()[0]
