"""The choices of the command line, and the files of the options."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, final

from omegaconf import DictConfig

from fokker.config.family import OF_NAMES
from fokker.config.mistakes import one_of
from fokker.machine.named_files import one_line
from fokker.machine.yaml_files import read_yaml
from fokker.store.whereabouts import config_dir

#: Groups whose files set the whole configuration, or hydra, and make no part.
_NO_PARTS = ("experiment", "sweeps", "hydra")


@final
@dataclass(frozen=True)
class Choices:
    """The choices of the command line.

    Attributes:
        options: the chosen option of each group.
        sources: the configuration's sources, where options are found.
        overrides: the overrides as typed.
    """

    options: Mapping[str, str]
    sources: Sequence[Any]
    overrides: Sequence[str]


def option(sources: Sequence[Any], group: str, name: str) -> DictConfig:
    """Read the file of an option, from the first of the configuration's sources that has it.

    Raises:
        ValueError: for an unknown option, with a list of the known ones.
    """
    known: set[str] = set()
    for source in sources:
        if source.schema != "file":
            continue
        folder = Path(source.path) / group
        known |= {path.stem for path in folder.glob("*.yaml")}
        if (folder / f"{name}.yaml").is_file():
            return read_yaml(folder / f"{name}.yaml")
    raise ValueError(f"{group}={one_line(name)} is not an option; {one_of(name, sorted(known))}")


@cache
def targets_of_options(group: str) -> frozenset[str]:
    """Return the targets of a group's options in fokker's own files, not in a search path."""
    found = set()
    for file in config_dir().glob(f"{group}/*.yaml") if group.isidentifier() else ():
        node = read_yaml(file)
        target = node.get("_target_") if isinstance(node, DictConfig) else None
        found.update([target] if isinstance(target, str) else [])
    return frozenset(found)


def options_with(
    sources: Sequence[Any], name: str
) -> Iterator[tuple[str, str, DictConfig]]:
    """Find the options that have a key of a given name.

    Returns:
        for each option, the place of the node with the key, the name of the option, and the node.
    """
    for source in sources:
        folder = Path(source.path) if source.schema == "file" else None
        for file in sorted(folder.glob("*/*.yaml")) if folder else ():
            group = file.parent.name
            if group in _NO_PARTS or name not in file.read_text(encoding="utf-8", errors="replace"):
                continue
            node = read_yaml(file)
            place, below = group, node.get(group, node)  # A formulation's file sets the root.
            if group in OF_NAMES:
                place, below = f"{group}.{file.stem}", node.get(file.stem)
            if isinstance(below, DictConfig) and name in below and name != group:
                yield place, file.stem, below
