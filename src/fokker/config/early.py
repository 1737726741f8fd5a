"""What can be said of a configuration before torch is waited for: names, types and files."""

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

#: What data say of themselves where it is null, and other parts are then given.
MEASURED = "data.sigma_data"
#: Where the kinds are said, which are read there: to import them would wait for torch.
PARTS = "fokker.config.parts.Parts"


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


def family_early(config: DictConfig, sources: Sequence[Any], read: Signatures) -> Family:
    """Return what the formulation's class says; of one of the user's own what its options show.

    Those are the groups of the configuration's files, whose parts may be of any kind.
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
    """Set the keys that a formulation gives a value where they have none."""
    for key, value in family.inherited.items():
        group, _, name = key.partition(".")
        node = config.get(group)
        if isinstance(node, DictConfig) and name not in node:
            with open_dict(config):
                node[name] = value


def parts_of(config: DictConfig, family: Family) -> Iterator[tuple[str, DictConfig]]:
    """The nodes that objects are made of, by key."""
    groups = [(group, config.get(group)) for group in family.groups if group not in OF_NAMES]
    others = [
        (f"{group}.{name}", node) for group in OF_NAMES for name, node in config[group].items()
    ]
    for key, node in [*groups, *others]:
        if isinstance(node, DictConfig) and "_target_" in node:
            yield key, node


def asked_of(
    config: DictConfig, family: Family, sources: Sequence[Any]
) -> Iterator[tuple[str, DictConfig]]:
    """The nodes of what an evaluation lists, by group: names, or `{name: {key: value}}`."""
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
        node: with a `_target_`.
        key: where it stands.
        read: what fokker's classes take.
        own: packages of the user's.
        family: of the formulation.
    Returns:
        whole numbers by the key where each was set.
    Raises:
        ValueError: says the key, the rule and the value.
    """
    kind = kind_of(key, {**read(PARTS).types, **family.kinds})

    def taken(place: str, target: Any) -> Signature:
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
    check_kinds(found, ())  # Of others' classes it is not known here what stands inside them.
    return check_nodes(found)


def _check_files(config: DictConfig) -> None:
    """Refuse files that are not there."""
    for key in ("checkpoint", "init_from", "continue_from"):
        if config[key] is not None:
            find_checkpoint(Path(config[key]), key)
    for path in config.evaluation.beside:
        finished_run(Path(path), BESIDE)
    for group, node in config.items():
        if isinstance(node, DictConfig) and node.get("_target_") == "fokker.data.PointsFile":
            find_points(node.get("path"), f"{group!s}.path")
