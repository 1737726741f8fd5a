"""Checks of a configuration that need no import of torch: names, types and files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from fokker.config.arguments import Signature
from fokker.config.choices import option
from fokker.config.family import OF_EVERY_RUN, OF_NAMES, Family
from fokker.config.keys import check_keys
from fokker.config.kinds import kind_of
from fokker.config.mistakes import UnknownKey, of_value
from fokker.config.names import with_hint
from fokker.config.nodes import check_kinds, check_nodes, nodes, plain_of
from fokker.config.option_words import is_group
from fokker.config.signatures import Signatures
from fokker.config.targets import check_name, own_names
from fokker.machine.named_files import find_points
from fokker.store.places import BESIDE, find_checkpoint, finished_run

#: The key whose value data measure where it is null, and which other parts are then given.
MEASURED = "data.sigma_data"
#: The class that states the kinds. Its file is read, for its import would wait for torch.
PARTS = "fokker.config.parts.Parts"


def check_early(
    config: DictConfig, sources: Sequence[object], read: Signatures, only: str = ""
) -> None:
    """Refuse wrong names, types and files, and make numbers such as 1e4 whole numbers.

    Args:
        config: the composed configuration; it is changed.
        sources: the configuration's sources, where options are found.
        read: the reader of what fokker's classes take.
        only: the only key that has changed since all was checked, so that other parts are skipped;
            empty: nothing was checked.
    Raises:
        ValueError: with the key, the rule and the value, as the builder of the objects would.
    """
    try:
        family = family_early(config, sources, read)
        check_keys(config, family)
        own = own_names(config.allow_targets)
        for key, node in parts_of(config, family):
            if only and only.split(".")[0] != key.split(".")[0]:
                continue
            for changed, number in check_part(node, key, read, own, family).items():
                OmegaConf.update(config, changed, number)
        listed = asked_of(config, family, sources) if only in ("", *family.lists) else ()
        for group, node in listed:
            check_part(node, group, read, own, family)
    except UnknownKey as error:
        raise ValueError(with_hint(error, config, sources)) from error
    except OmegaConfBaseException as error:
        raise ValueError(of_value(error)) from error
    _check_files(config)


def family_early(config: DictConfig, sources: Sequence[object], read: Signatures) -> Family:
    """Return what the formulation's class says of the configuration.

    A class of the user's is not read: any group of the configuration's files may then be one of
    the formulation's, with parts of any kind.
    """
    node = config.get("formulation")
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    family = read.family(target) if isinstance(target, str) else None
    if family is not None:
        return family
    names = [str(key) for key in config if key not in ("hydra", *OF_EVERY_RUN)]
    own = {name: Any for name in names if is_group(sources, name)}
    evaluation = config.get("evaluation") or {}
    asked = [name for name in own if f"{name}s" in evaluation]
    return Family(asked=asked, kinds=own, is_known=False)


def set_inherited(config: DictConfig, family: Family) -> None:
    """Set the keys that are missing, where the formulation has a value for them."""
    for key, value in family.inherited.items():
        group, _, name = key.partition(".")
        node = config.get(group)
        if isinstance(node, DictConfig) and name not in node:
            with open_dict(config):
                node[name] = value


def parts_of(config: DictConfig, family: Family) -> Iterator[tuple[str, DictConfig]]:
    """Yield the nodes that objects are made of, each with its key."""
    groups = [(group, config.get(group)) for group in family.groups if group not in OF_NAMES]
    others = [
        (f"{group}.{name}", node) for group in OF_NAMES for name, node in config[group].items()
    ]
    for key, node in [*groups, *others]:
        if isinstance(node, DictConfig) and "_target_" in node:
            yield key, node


def asked_of(
    config: DictConfig, family: Family, sources: Sequence[object]
) -> Iterator[tuple[str, DictConfig]]:
    """Yield the nodes that an evaluation lists, each with its group.

    An entry is a name, or `{name: {key: value}}`.
    """
    scope = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    for group in family.asked:
        for entry in config.evaluation.get(f"{group}s") or ():
            for name in [entry] if isinstance(entry, str) else entry:
                try:
                    node = option(sources, group, str(name))
                except ValueError as error:
                    raise ValueError(f"evaluation.{group}s: {error}") from error
                changes = {} if isinstance(entry, str) else entry[name]
                with open_dict(scope):
                    scope[group] = OmegaConf.merge(node, changes)
                set_inherited(scope, family)
                yield group, scope[group]


def check_part(
    node: DictConfig, key: str, read: Signatures, own: Sequence[str], family: Family
) -> dict[str, Any]:
    """Check a node and what is in it.

    Args:
        node: the node, with a `_target_`.
        key: the key where it stands.
        read: the reader of what fokker's classes take.
        own: the packages of the user's own.
        family: the family of the formulation.
    Returns:
        the whole numbers, by the key where each was set.
    Raises:
        ValueError: with the key, the rule and the value.
    """
    kind = kind_of(key, {**read(PARTS).types, **family.kinds})

    def taken(place: str, target: object) -> Signature:
        return read(check_name(place, target, own))

    plain, raw = plain_of(node, key, family), OmegaConf.to_container(node)
    found = list(nodes(plain, raw, key, kind, taken, family.given))
    for part in found:
        if not family.is_known:
            part.known_later.update(part.taken.required)
        inherited = (place.split(".") for place in family.inherited)
        part.known_later.update(name for group, name in inherited if group == part.key)
        for name, place in part.keys.items():
            if key != "data" and place == MEASURED and part.plain[name] is None:
                del part.plain[name]
                part.known_later.add(name)
    check_kinds(found, ())  # What may stand inside classes of other packages is not known.
    return check_nodes(found)


def _check_files(config: DictConfig) -> None:
    """Refuse checkpoints, runs and files of points that are not there."""
    for key in ("checkpoint", "init_from", "continue_from"):
        if config[key] is not None:
            find_checkpoint(Path(config[key]), key)
    for path in config.evaluation.beside:
        finished_run(Path(path), BESIDE)
    for group, node in config.items():
        if isinstance(node, DictConfig) and node.get("_target_") == "fokker.data.PointsFile":
            find_points(node.get("path"), f"{group!s}.path")
