"""The step from a composed configuration to its data."""

import copy
import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from omegaconf import DictConfig, OmegaConf, open_dict

from fokker.config.instantiate import Builder
from fokker.config.keys import OF_ANY_DATA
from fokker.data import DataModule, StandardizedData, gaussianized
from fokker.machine.own_code import own_code
from fokker.machine.start import cores


@final
class AllData:
    """The data of all stages of a training, where equal data are built only once."""

    def __init__(self) -> None:
        self._made: list[_Made] = []

    def __call__(
        self, config: DictConfig, groups: Sequence[str], build: Builder
    ) -> dict[str, DataModule]:
        """Return the data of each group, and write what they measure into the configuration.

        Args:
            config: the configuration of a stage.
            groups: the groups of the data; the first one is trained on.
            build: the builder of the stage.
        """
        return {group: self._data(config, build, group) for group in groups}

    def _data(self, config: DictConfig, build: Builder, group: str) -> DataModule:
        asked: Any = OmegaConf.to_container(config[group], resolve=True)
        for made in self._made:
            if (made.group, made.asked) == (group, asked):
                config[group] = copy.deepcopy(made.node)
                build.own_classes += made.own_classes
                build.whole.update(made.whole)
                return made.data
        known, before = len(build.own_classes), dict(build.whole)
        data = build_data(config, build, group)
        own, node = build.own_classes[known:], copy.deepcopy(config[group])
        whole = {key: value for key, value in build.whole.items() if key not in before}
        self._made.append(_Made(group, asked, node, own, whole, data))
        return data


@final
@dataclass(frozen=True)
class _Made:
    """Data that were built for a group, and their node with what they measured.

    `own_classes` and `whole` are what the `Builder` recorded for these data.
    """

    group: str
    asked: Any
    node: DictConfig
    own_classes: Sequence[Any]
    whole: Mapping[str, Any]
    data: DataModule


def content_of(data: Mapping[str, DataModule]) -> str:
    """Return a hash of what the configuration does not say of the data; empty if it says all."""
    with own_code("content of the data cannot be asked", "fix it"):
        contents = [of.content for of in data.values()]
    if len(contents) == 1 or not any(contents):
        return contents[0]
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()


def build_data(config: DictConfig, build: Builder, group: str = "data") -> DataModule:
    """Build the data of a group, and write a measured sigma_data back.

    `standardize` is written back for fokker's own classes only: a class of the user's has its own
    keys, and may know no other word than `true`.
    """
    known = len(build.own_classes)
    # A user's own option may lack the keys that all of fokker's options have.
    scope = copy.deepcopy(config)
    with open_dict(scope):
        is_gaussian, workers = (scope[group].pop(key, None) for key in OF_ANY_DATA)
    data: DataModule = build(scope[group], group)
    if type(data).__module__.startswith("fokker."):
        # The content of a user's dataset is hashed, so its source may change.
        del build.own_classes[known:]
        if config[group].get("standardize") is True and isinstance(data, StandardizedData):
            config[group].standardize = data.standardize
    else:
        with own_code(f"{group} cannot give a batch", "fix it"):
            data.check()
    if is_gaussian:
        if not isinstance(data, StandardizedData):
            raise ValueError(
                f"{group}.gaussianize=true needs standardised numbers, which have moments, got "
                f"{type(data).__name__}; leave it out"
            )
        data = gaussianized(data)
    if workers is not None:
        data.workers = workers
        if workers > cores():
            warnings.warn(
                f"{group}.workers={workers} is more than the {cores()} cores that this process has",
                stacklevel=2,
            )
    if isinstance(data, StandardizedData):
        _write_sigma_data(config[group], data, group)
    return data


def _write_sigma_data(node: DictConfig, data: StandardizedData, group: str) -> None:
    """Write a measured sigma_data into the data's node, or warn if a given one is far off."""
    given = node.sigma_data
    if given is None:
        node.sigma_data = data.sigma_data
    elif not data.standardize:
        measured = data.measured[1]
        if abs(given / measured - 1) > 0.2:
            warnings.warn(
                f"{group}.sigma_data={given:g} is more than 20% off the measured standard "
                f"deviation, {measured:.4g}; leave it null to use that",
                stacklevel=3,
            )
