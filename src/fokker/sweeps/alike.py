"""Configurations of jobs, of which those that differ in single values alone are composed once."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from omegaconf import DictConfig, OmegaConf

from fokker.config.keys import KEYS
from fokker.overrides import read
from fokker.sweeps.jobs import Job

#: A job's configuration, with hydra's own node.
Compose = Callable[[Job], DictConfig]
#: Refuses a configuration, for one key's value where all else of it was checked.
Check = Callable[[DictConfig, str], None]
# A key below others: no group, which has a slash or no dot, and none of hydra's.
_BELOW = re.compile(r"(?!hydra\.)\w+(?:\.\w+)+")


@final
class Alike:
    """Configurations of jobs, of which those that differ in single values alone are composed once.

    Hydra sets single values last, so a value that is set in what was composed with another one
    comes to the same. That takes some milliseconds with its checks, and to compose 0.3 s.

    Args:
        compose: a job's configuration, with hydra's own node.
        check: refuses a configuration.
        most: how many jobs are composed at most, and how many of one kind are looked at if none is
            right.
    """

    def __init__(self, compose: Compose, check: Check, most: int) -> None:
        self._compose, self._check, self._most = compose, check, most
        self._kinds: dict[tuple[str, ...], _Kind] = {}

    def __call__(self, job: Job) -> DictConfig | None:
        """The configuration of a job, which holds until the next call; none where too many differ.

        Raises:
            ValueError: if the job cannot be; also what hydra and OmegaConf raise.
        """
        name = tuple(single_key(override) or override for override in job.overrides)
        while True:
            if name not in self._kinds:
                if len(self._kinds) == self._most:
                    return None
                self._kinds[name] = self._composed(job)
            kind = self._kinds[name]
            if isinstance(kind.config, Exception):
                raise kind.config
            if not kind.first and kind.wrong == self._most:
                return None
            if self._set(kind, kind.config, job):
                break
            # It must be composed by itself.
            name = job.overrides
        if not kind.first:
            kind.wrong += 1
            self._check(kind.config, "")
            kind.first = job.overrides
        for override in set(job.overrides).difference(kind.first):
            self._check(kind.config, single_key(override))
        return kind.config

    def _composed(self, job: Job) -> "_Kind":
        try:
            return _Kind(self._compose(job), job.overrides)
        except Exception as error:
            return _Kind(error, job.overrides)

    def _set(self, kind: "_Kind", config: DictConfig, job: Job) -> bool:
        """Set a job's values in what was composed for its kind, if none is a whole node."""
        changed = [new for new, old in zip(job.overrides, kind.now) if new != old]
        values = {single_key(o): read(o).value for o in changed}
        nodes = [*values.values(), *(OmegaConf.select(config, key) for key in values)]
        if any(isinstance(node, (dict, DictConfig)) for node in nodes):
            return False
        for key, value in values.items():
            OmegaConf.update(config, key, value)
        kind.now = job.overrides
        return True


@dataclass
class _Kind:
    """What jobs of the same overrides but for single values have in common.

    Attributes:
        config: of one of them, or why there is none.
        now: the overrides of the job whose values are set.
        first: of the first job that was right; none yet if empty.
        wrong: how many were looked at before.
    """

    config: DictConfig | Exception
    now: tuple[str, ...]
    first: tuple[str, ...] = ()
    wrong: int = 0


def single_key(override: str) -> str:
    """The key of a single value that an override sets; empty if it does something else."""
    word = read(override)
    is_single = word.name in KEYS or _BELOW.fullmatch(word.name) is not None
    return word.name if is_single and word.is_set else ""
