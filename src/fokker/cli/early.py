"""What can be said of a configuration before torch is waited for: names, types and files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from fokker.cli.choices import option
from fokker.cli.keys import GROUPS, OF_ANY_DATA, check_keys
from fokker.cli.mistakes import UnknownKey, of_value
from fokker.cli.names import with_hint
from fokker.cli.nodes import check_nodes, nodes
from fokker.cli.signatures import Signatures
from fokker.places import BESIDE, find_checkpoint, find_points, finished_run

#: What data say of themselves where it is null, and other parts are then given.
MEASURED = "data.sigma_data"


def check_early(config: DictConfig, sources: Sequence[Any], read: Signatures) -> None:
    """Refuse what is wrong by its name, type or file, and make whole numbers of such as 1e4.

    Args:
        config: composed; it is changed.
        sources: where options are found.
        read: what fokker's classes take.
    Raises:
        ValueError: says the key, the rule and the value, as what builds the objects would.
    """
    if config.get("task") == "doctor":  # Which says all mistakes itself.
        return
    try:
        check_keys(config)
        for key, node in _parts(config):
            for changed, number in _check_part(node, key, read).items():
                OmegaConf.update(config, changed, number)
        for group, node in _asked(config, sources):
            _check_part(node, group, read)
    except UnknownKey as error:
        raise ValueError(with_hint(error, config, sources)) from error
    except OmegaConfBaseException as error:
        raise ValueError(of_value(error)) from error
    _check_files(config)


def _parts(config: DictConfig) -> Iterator[tuple[str, DictConfig]]:
    """The nodes that objects are made of, by key."""
    groups = [(group, config.get(group)) for group in GROUPS if group != "evaluation"]
    others = [(f"evaluation.{name}", node) for name, node in config.evaluation.items()]
    for key, node in [*groups, *others]:
        if isinstance(node, DictConfig) and "_target_" in node:
            yield key, node


def _asked(config: DictConfig, sources: Sequence[Any]) -> Iterator[tuple[str, DictConfig]]:
    """The nodes of what an evaluation lists, by group: names, or `{name: {key: value}}`."""
    scope = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    for group in ("sampler", "grid"):
        for entry in config.evaluation[f"{group}s"]:
            for name in [entry] if isinstance(entry, str) else entry:
                node = option(sources, group, str(name))
                changes = {} if isinstance(entry, str) else entry[name]
                with open_dict(scope):
                    scope[group] = OmegaConf.merge(node, changes)
                yield group, scope[group]


def _check_part(node: DictConfig, key: str, read: Signatures) -> dict[str, Any]:
    """Check a node and what is in it; the whole numbers by the key where each was set."""
    plain: Any = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    if key == "data":
        plain = {name: value for name, value in plain.items() if name not in OF_ANY_DATA}
    found = list(nodes(plain, OmegaConf.to_container(node), key))
    for part in found:
        for name, place in part.keys.items():
            if key != "data" and place == MEASURED and part.plain[name] is None:
                del part.plain[name]
    return check_nodes(found, {n.target: read(n.target) for n in found})


def _check_files(config: DictConfig) -> None:
    """Refuse files that are not there."""
    for key in ("checkpoint", "init_from", "continue_from"):
        if config[key] is not None:
            find_checkpoint(Path(config[key]))
    for path in config.evaluation.beside:
        finished_run(Path(path), BESIDE)
    if config.data.get("_target_") == "fokker.data.PointsFile":
        find_points(config.data.get("path"))
