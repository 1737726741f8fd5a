"""The overrides of a sweep or search: those with several values, and those that all jobs share."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from fokker.config.option_words import group_of
from fokker.machine.yaml_files import read_yaml
from fokker.overrides import parse, read
from fokker.store.job_names import MAX_NAME

#: Keys of the sweep itself, which change no job.
OF_THE_SWEEP = ("fail_fast", "objective")
#: Keys that leave a job's results as they are.
NOT_OF_THE_JOB = (*OF_THE_SWEEP, "logger")


@final
@dataclass(frozen=True)
class Swept:
    """The overrides of a sweep or search, divided by whether they have one value or several.

    Attributes:
        fixed: the overrides with one value by key with its signs, in one form however they were
            typed.
        several: the overrides with several values, by key with its signs.
        study: the name of the study; empty where there is none.
        body: the content of the study's file as YAML, without hydra's keys.
    """

    fixed: dict[str, str]
    several: dict[str, Override]
    study: str
    body: str

    @classmethod
    def read(cls, arguments: Sequence[str], config: DictConfig, loader: ConfigLoader) -> "Swept":
        """Read overrides.

        Args:
            arguments: the overrides, some of them with several values or an interval.
            config: the composed configuration of the sweep.
            loader: the loader that knows the options of groups, for `glob(*)`.
        """
        # As in hydra, the last of several overrides of a key counts.
        overrides = {o.get_key_element(): o for o in parse(arguments, loader)}
        fixed = {k: in_one_form(o) for k, o in overrides.items() if not o.is_sweep_override()}
        several = {key: o for key, o in overrides.items() if o.is_sweep_override()}
        words = [word for word in map(read, fixed.values()) if word.is_set]
        study = "".join(word.plain_value for word in words if word.name == "sweeps")
        return cls(fixed, several, study, _body(config, study) if study else "")

    @property
    def keys(self) -> set[str]:
        """Return the keys of all overrides, with their signs."""
        return {*self.fixed, *self.several}

    @property
    def unswept(self) -> list[str]:
        """Return the overrides with one value by which a sweep is known."""
        # The keys keep their signs, so that existing sweeps keep their names.
        return [text for key, text in self.fixed.items() if group_of(key) not in NOT_OF_THE_JOB]

    def title(self, columns: Iterable[str]) -> str:
        """Return the title of the sweep: its study, or else what is swept."""
        return self.study or "-".join(sorted(columns))


def short_title(title: str) -> str:
    """Return a title for the name of a folder."""
    return re.sub(r"[^\w.]+", "-", title).strip("-")[:MAX_NAME]


def _body(config: DictConfig, study: str) -> str:
    for source in config.hydra.runtime.config_sources:
        file = Path(source.path) / "sweeps" / f"{study}.yaml"
        if source.schema == "file" and file.is_file():
            body: Any = OmegaConf.to_container(read_yaml(file))
            return OmegaConf.to_yaml({k: v for k, v in body.items() if k != "hydra"})
    return ""


def in_one_form(override: Override) -> str:
    """Return an override that is not swept in one form, however it was typed."""
    key = override.get_key_element()
    if override.is_delete() and read(str(override.input_line)).value_text is None:
        return key
    return f"{key}={override.get_value_element_as_str()}"
