"""Checks of `continue_from`: what a training may go on from, and what it must not change."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fokker.config.arguments import shown
from fokker.config.sameness import other_points
from fokker.machine.nested import flat
from fokker.store.checkpoints import check_network, check_undamaged, read_checkpoint
from fokker.store.description import record_of
from fokker.store.identity import Groups
from fokker.store.models import USABLE
from fokker.store.places import SAFETENSORS, find_checkpoint
from fokker.store.predecessor import Predecessor
from fokker.store.records import check_has, read_record
from fokker.store.same_data import differing, what_data
from fokker.training import Training
from fokker.training.limits import Limits

#: Single keys that must stay the same, besides a formulation's kept groups.
KEPT_KEYS = ("ema.half_lives", "optimizer.optimizer._target_")
ANEW = "or begin a training from its weights alone, by init_from in place of continue_from"


def predecessor_of(
    config: Mapping[str, Any],
    options: Mapping[str, str],
    content: str,
    source: str,
    training: Training,
) -> Predecessor:
    """Find the model that a training goes on from, and check that it can.

    Args:
        config: the resolved configuration.
        options: the option of each group.
        content: the hash of the content of data files.
        source: the hash of the source of a user's own classes.
        training: the training as built.
    Raises:
        ValueError: if the training cannot go on from it, with the reason.
    """
    path = config["continue_from"]
    checkpoint = find_checkpoint(Path(path), "continue_from")
    if checkpoint.suffix == SAFETENSORS:
        raise ValueError(
            f"continue_from={path} has weights alone, and no state of an optimizer; name the "
            f"checkpoint or the folder of the model, {ANEW}"
        )
    check_undamaged(checkpoint)
    file = checkpoint.with_name("model.json")
    beside, record = read_record(file), record_of(checkpoint)
    check_has(file, beside, "status")
    held = read_checkpoint(checkpoint)
    if beside and beside.get("status") not in USABLE:
        raise ValueError(
            f"continue_from={path} must be a trained model, and its training is not at its end: "
            f"{beside.get('status')} at step {beside.get('step', 0)}; let the command that trains "
            "it come to its end"
        )
    kind = type(training.formulation)
    known = str(record.get("made_of", {}).get("content", ""))
    # If another option of data is chosen, `_differing` says so by its name.
    if known not in ("", content) and record.get("data") == options[kind.data_groups[0]]:
        raise ValueError(other_points(f"continue_from={path}", config, kind.data_groups))
    kept = kind.parts if kind.kept is None else kind.kept
    if others := _differing(record, config, options, content, source, kept):
        raise ValueError(
            f"continue_from={path} was trained with {', '.join(others)}, which a continued "
            f"training must not change; remove these overrides, {ANEW}"
        )
    _check_weights(path, checkpoint, held, training)
    found = Predecessor.of(checkpoint, held, record["key"])
    if config["trainer"]["max_steps"] <= found.step:
        raise ValueError(
            f"trainer.max_steps must be above the {found.step} steps that continue_from={path} "
            f"has, for it counts these too, got {config['trainer']['max_steps']}"
        )
    return found


def check_limits(limits: Limits, found: Predecessor) -> None:
    """Refuse, by a ValueError, a limit that a training has reached before it begins."""
    if limits.steps is not None and limits.steps <= found.step:
        raise ValueError(
            f"{limits.words} must be above the {found.step} steps that continue_from has, for it "
            f"counts these too, got {limits.steps} steps; give more, or remove it"
        )


def _differing(
    record: Mapping[str, Any],
    config: Mapping[str, Any],
    options: Mapping[str, str],
    content: str,
    source: str,
    kept: Sequence[str],
) -> list[str]:
    """List the keys that must stay the same and differ from a model's recorded configuration."""
    other, made_of = record["config"], record.get("made_of", {})
    known = made_of.get("content", "")
    there, here = (flat({g: c[g] for g in kept if g in c}) for c in (other, config))
    groups = Groups.of_data(record)
    for key in (*(f"{group}.batch_size" for group in groups), *KEPT_KEYS):
        group, _, name = key.partition(".")
        there[key], here[key] = (flat(c.get(group, {})).get(name) for c in (other, config))
    there.update(what_data(other, groups, known))
    here.update(what_data(config, groups, content if known else ""))
    # The user's own classes of one name in two files are the same if their sources are.
    keys = differing(there, here, by_name=made_of.get("source", "") == source)
    words = [f"{key} ({shown(there.get(key))} there, {shown(here.get(key))} here)" for key in keys]
    # With another option all keys differ, so its name is enough. A hash tells a user nothing.
    words = [w if not w.startswith("data.content ") else "other points of data" for w in words]
    for fact, group in (("data", groups[0]), ("formulation", "formulation")):
        if record.get(fact, options[group]) != options[group]:
            words = [word for word in words if not word.startswith(f"{group}.")]
            words.insert(0, f"{group} ({record[fact]} there, {options[group]} here)")
    return words


def _check_weights(
    path: str, checkpoint: Path, held: Mapping[str, Any], training: Training
) -> None:
    """Refuse weights or a state of the optimizer that do not fit."""
    own, learned = (
        any(key.startswith("weighting.") for key in state)
        for state in (training.formulation.state_dict(), held["state_dict"])
    )
    if own != learned:
        there, here = ("has", "has not") if learned else ("has not", "has")
        raise ValueError(
            f"continue_from={path} {there} a weighting that learns, and this training {here}; "
            f"choose the same weighting, {ANEW}"
        )
    check_network(checkpoint, held, training)
    if {*held["ema"]} != {*training.ema.names}:
        raise ValueError(
            f"ema.half_lives must be those of continue_from={path}, {_listed(held['ema'])}, got "
            f"{_listed(training.ema.names)}"
        )
    states = held.get("optimizer_states")
    if not states:
        raise ValueError(f"continue_from={path} has no state of an optimizer; use init_from={path}")
    kept: dict[str, Any] = next(iter(states[0]["state"].values()), {})
    if sorted(kept) != training.schedule.state_names():
        raise ValueError(
            f"continue_from={path} was trained by an optimizer that keeps {_listed(kept)} of each "
            f"weight, and optimizer.optimizer asks for {_listed(training.schedule.state_names())}; "
            f"choose the same, {ANEW}"
        )


def _listed(names: Mapping[str, object] | Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
