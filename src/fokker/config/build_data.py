"""From a composed configuration to its data."""

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
    """The data of the stages of a training, where those that are the same are made once."""

    def __init__(self) -> None:
        self._made: list[_Made] = []

    def __call__(
        self, config: DictConfig, groups: Sequence[str], build: Builder
    ) -> dict[str, DataModule]:
        """The data of each group, the one that is trained on first; what they measure is written.

        Args:
            config: of a stage.
            groups: of the data.
            build: of the stage.
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
    """Data that were made, of a group that was asked for, and its node with what they measured.

    As a `Builder` has them, also their own classes and whole numbers.
    """

    group: str
    asked: Any
    node: DictConfig
    own_classes: Sequence[Any]
    whole: Mapping[str, Any]
    data: DataModule


def content_of(data: Mapping[str, DataModule]) -> str:
    """A hash of what the configuration does not say of the data; empty if it says all."""
    with own_code("content of the data cannot be asked", "mend it"):
        contents = [of.content for of in data.values()]
    if len(contents) == 1 or not any(contents):
        return contents[0]
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()


def build_data(config: DictConfig, build: Builder, group: str = "data") -> DataModule:
    """The data; a measured sigma_data and how they are standardised are written back.

    An option of the user's own has keys of its own, and may know no other word than `true`.
    """
    known = len(build.own_classes)
    # An option of one's own need not have the keys for any data.
    scope = copy.deepcopy(config)
    with open_dict(scope):
        is_gaussian, workers = (scope[group].pop(key, None) for key in OF_ANY_DATA)
    data: DataModule = build(scope[group], group)
    if type(data).__module__.startswith("fokker."):
        # A dataset's content is hashed, so that its source may change.
        del build.own_classes[known:]
        if config[group].get("standardize") is True and isinstance(data, StandardizedData):
            config[group].standardize = data.standardize
    else:
        with own_code(f"{group} cannot give a batch", "mend it"):
            data.check()
    if is_gaussian:
        if not isinstance(data, StandardizedData):
            raise ValueError(
                f"{group}.gaussianize=true needs standardised numbers, which have moments, got "
                f"{type(data).__name__}; leave it away"
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
    """Write a measured sigma_data into the data's node, or warn of a given one that is off."""
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
