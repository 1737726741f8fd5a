"""Configurations of jobs, where jobs that differ only in single values are composed once."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from omegaconf import DictConfig, OmegaConf

from fokker.config.keys import KEYS
from fokker.overrides import read
from fokker.sweeps.jobs import Job

#: Composes a job's configuration, with hydra's own part.
Compose = Callable[[Job], DictConfig]
#: Refuses a wrong configuration, or only the value of one key if all else was checked.
Check = Callable[[DictConfig, str], None]
# A key with a dot. Groups, which have a slash or no dot, and hydra's own keys do not match.
_BELOW = re.compile(r"(?!hydra\.)\w+(?:\.\w+)+")


@final
class Alike:
    """The configurations of jobs, where jobs that differ only in single values are composed once.

    Hydra sets single values last. So setting a value in a configuration that was composed with
    another value gives the same result. Setting takes some milliseconds with its checks, composing
    0.3 s.

    Args:
        compose: the function that composes a job's configuration, with hydra's own part.
        check: the function that refuses a wrong configuration.
        most: the largest number of configurations that are composed, and of jobs of one kind that
            are tried until one is right.
    """

    def __init__(self, compose: Compose, check: Check, most: int) -> None:
        self._compose, self._check, self._most = compose, check, most
        self._kinds: dict[tuple[str, ...], _Kind] = {}

    def __call__(self, job: Job) -> DictConfig | None:
        """Return the configuration of a job, which holds until the next call.

        It is null if the jobs differ so much that too many would have to be composed.

        Raises:
            ValueError: if the configuration is wrong; hydra and OmegaConf raise errors of their
                own.
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
            # This job must be composed by itself.
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
        """Set a job's values in its kind's configuration; return false if one is a mapping."""
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
    """A kind of jobs, whose overrides differ only in single values.

    Attributes:
        config: the configuration of one of them, or the error that composing it raised.
        now: the overrides of the job whose values are set in it.
        first: the overrides of the first job that was right; empty if there is none yet.
        wrong: the number of jobs that were checked until one was right.
    """

    config: DictConfig | Exception
    now: tuple[str, ...]
    first: tuple[str, ...] = ()
    wrong: int = 0


def single_key(override: str) -> str:
    """Return the key of the single value that an override sets; empty if it sets none."""
    word = read(override)
    is_single = word.name in KEYS or _BELOW.fullmatch(word.name) is not None
    return word.name if is_single and word.is_set else ""
