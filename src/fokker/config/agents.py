"""A check of what a W&B sweep sets: its parameters come from a server."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.conf import ConfigSourceInfo
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf

from fokker.config.compose import config_dir
from fokker.config.foreign import NEVER, NotOwn, check_own
from fokker.config.option_words import group_of
from fokker.config.texts import texts
from fokker.machine.yaml_files import read_yaml
from fokker.overrides import read

#: Keys that only a command itself may set: those of NEVER, and what the command does.
OF_THE_COMMAND = (*NEVER, "task", "sweeps")
_NAME = re.compile(r"\+{0,2}[^\W\d][\w/.@-]*")
# A path that leaves the folder where the agent was started, or a variable of its machine.
_LEAVES = re.compile(r"^\s*[/\\~]|(^|[/\\])\.\.([/\\]|$)|^\w+:[/\\]|\$\{")


def check_agents_parameters() -> None:
    """Check that a W&B sweep sets only keys and options of the configuration.

    Raises:
        ValueError: if a parameter is a flag or a key of hydra's, has a variable or a path that
            leaves the current folder, or sets what is imported, what is done or where files are
            written.
    """
    file = Path(os.environ.get("WANDB_SWEEP_PARAM_PATH", ""))
    if not file.is_file():
        return
    content: Any = OmegaConf.to_container(read_yaml(file))
    for name, entry in content.items():
        if name == "wandb_version":
            continue
        value = entry.get("value") if isinstance(entry, dict) else entry
        for fault in _faults(str(name), value):
            raise ValueError(
                f"{fault}, in {file}; write what else is to be set into the sweep's command"
            )


def _faults(name: str, value: object) -> Iterator[str]:
    """Yield what is wrong with a parameter.

    Its name comes from a server, and may be no name by hydra's grammar.
    """
    first = group_of(name.strip(" \t\n'\"+~-").partition("@")[0])
    if first in OF_THE_COMMAND:
        yield f"{first} must not be a parameter of a W&B sweep"
    if _NAME.fullmatch(name) is None:
        yield f"a parameter of a W&B sweep must be the name of a key, and is {name!r}"
    said = [value, name.partition("@")[0]]
    override = _parsed(f"{name}={value}")
    if override is not None:
        sources = [ConfigSourceInfo(path=str(config_dir()), schema="file", provider="main")]
        try:
            check_own(override, sources)
        except NotOwn as error:
            yield f"a parameter of a W&B sweep must be the configuration's own, and is {error}"
        said.append(override.value())
    for text in (text for part in said for text in texts(part)):
        if _LEAVES.search(text):
            yield (
                "a parameter of a W&B sweep must have no variable, and no path outside the current "
                f"folder, and {name} has {text}"
            )


def _parsed(text: str) -> Override | None:
    """Return an override as hydra reads it; None if hydra cannot, and will refuse it itself."""
    try:
        return read(text).parsed
    except HydraException:
        return None
