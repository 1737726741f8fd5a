"""What can be said of a configuration before torch is waited for: names, types and files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from fokker.cli.arguments import Signature
from fokker.cli.choices import option
from fokker.cli.keys import GROUPS, check_keys
from fokker.cli.kinds import kind_of
from fokker.cli.mistakes import UnknownKey, of_value
from fokker.cli.names import with_hint
from fokker.cli.nodes import check_kinds, check_nodes, nodes, plain_of
from fokker.cli.signatures import Signatures
from fokker.cli.targets import check_name, own_names
from fokker.places import BESIDE, find_checkpoint, find_points, finished_run

#: What data say of themselves where it is null, and other parts are then given.
MEASURED = "data.sigma_data"
#: Where the kinds are said, which are read there: to import them would wait for torch.
PARTS = "fokker.cli.parts.Parts"
#: The keys that list options of other groups.
ASKED = ("evaluation.samplers", "evaluation.grids")


def check_early(
    config: DictConfig, sources: Sequence[Any], read: Signatures, only: str = ""
) -> None:
    """Refuse what is wrong by its name, type or file, and make whole numbers of such as 1e4.

    Args:
        config: composed; it is changed.
        sources: where options are found.
        read: what fokker's classes take.
        only: a key; it alone, with the part in which it stands, has changed since all was checked.
    Raises:
        ValueError: says the key, the rule and the value, as what builds the objects would.
    """
    try:
        check_keys(config)
        own = own_names(config.allow_targets)
        for key, node in parts_of(config):
            if only and only.split(".")[0] != key.split(".")[0]:
                continue
            for changed, number in check_part(node, key, read, own).items():
                OmegaConf.update(config, changed, number)
        for group, node in asked_of(config, sources) if only in ("", *ASKED) else ():
            check_part(node, group, read, own)
    except UnknownKey as error:
        raise ValueError(with_hint(error, config, sources)) from error
    except OmegaConfBaseException as error:
        raise ValueError(of_value(error)) from error
    _check_files(config)


def parts_of(config: DictConfig) -> Iterator[tuple[str, DictConfig]]:
    """The nodes that objects are made of, by key."""
    groups = [(group, config.get(group)) for group in GROUPS if group != "evaluation"]
    others = [(f"evaluation.{name}", node) for name, node in config.evaluation.items()]
    for key, node in [*groups, *others]:
        if isinstance(node, DictConfig) and "_target_" in node:
            yield key, node


def asked_of(config: DictConfig, sources: Sequence[Any]) -> Iterator[tuple[str, DictConfig]]:
    """The nodes of what an evaluation lists, by group: names, or `{name: {key: value}}`."""
    scope = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    for group in ("sampler", "grid"):
        for entry in config.evaluation[f"{group}s"]:
            for name in [entry] if isinstance(entry, str) else entry:
                try:
                    node = option(sources, group, str(name))
                except ValueError as error:
                    raise ValueError(f"evaluation.{group}s: {error}") from error
                changes = {} if isinstance(entry, str) else entry[name]
                with open_dict(scope):
                    scope[group] = OmegaConf.merge(node, changes)
                yield group, scope[group]


def check_part(
    node: DictConfig, key: str, read: Signatures, own: Sequence[str]
) -> dict[str, Any]:
    """Check a node and what is in it.

    Args:
        node: with a `_target_`.
        key: where it stands.
        read: what fokker's classes take.
        own: packages of the user's.
    Returns:
        whole numbers by the key where each was set.
    Raises:
        ValueError: says the key, the rule and the value.
    """
    kind = kind_of(key, read(PARTS).types)

    def taken(place: str, target: Any) -> Signature:
        return read(check_name(place, target, own))

    found = list(nodes(plain_of(node, key), OmegaConf.to_container(node), key, kind, taken))
    for part in found:
        for name, place in part.keys.items():
            if key != "data" and place == MEASURED and part.plain[name] is None:
                del part.plain[name]
                part.known_later.add(name)
    check_kinds(found, ())  # Of others' classes it is not known here what stands inside them.
    return check_nodes(found)


def _check_files(config: DictConfig) -> None:
    """Refuse files that are not there."""
    for key in ("checkpoint", "init_from", "continue_from"):
        if config[key] is not None:
            find_checkpoint(Path(config[key]), key)
    for path in config.evaluation.beside:
        finished_run(Path(path), BESIDE)
    if config.data.get("_target_") == "fokker.data.PointsFile":
        find_points(config.data.get("path"))
