"""Checkpoints and exported weights: reading them, checking them, and loading them."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fokker.machine.disk import DamagedError
from fokker.machine.files import checksum
from fokker.store.places import SAFETENSORS
from fokker.store.records import read_record
from fokker.store.trained import Trained

#: The entry of a checkpoint, and of an exported file's metadata, that describes the model.
DESCRIPTION = "fokker"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint's tensors and plain values.

    Raises:
        ValueError: if it is not a checkpoint of fokker's, or damaged.
    """
    try:
        # Mapped, so that the weights are not read where only the description is wanted.
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # Damage shows in many ways: EOF, zip, pickle, key, value errors.
        raise ValueError(
            f"{path} is not a checkpoint that can be read safely ({type(error).__name__}); it is "
            "damaged or another program's"
        ) from error
    if not isinstance(checkpoint, dict) or not {"state_dict", "ema"} <= checkpoint.keys():
        raise ValueError(f"{path} is a checkpoint of another program: it has no averaged weights")
    if why := _why_damaged(checkpoint):
        raise DamagedError(path, why)
    return checkpoint


def _why_damaged(checkpoint: Mapping[object, object]) -> str:
    """Return in words which part of a checkpoint has a wrong kind; empty if none has."""
    ema = checkpoint["ema"]
    weights = {"state_dict": checkpoint["state_dict"], **(ema if isinstance(ema, dict) else {})}
    for name, named in weights.items():
        if not isinstance(named, dict) or not all(map(_is_weight, named.values())):
            return f"{name} must hold tensors by name"
    states = checkpoint.get("optimizer_states", [])
    are_states = isinstance(states, list) and all(
        isinstance(s, dict)
        and isinstance(s.get("state"), dict)
        and isinstance(s.get("param_groups"), list)
        and all(isinstance(kept, dict) for kept in (*s["state"].values(), *s["param_groups"]))
        for s in states
    )
    if not isinstance(ema, dict) or not are_states:
        return f"{'optimizer_states' if isinstance(ema, dict) else 'ema'} is of another kind"
    is_list = isinstance(checkpoint.get("lr_schedulers", []), list)
    return "" if is_list else "lr_schedulers is no list"


def _is_weight(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta


def safetensors_metadata(path: Path) -> dict[str, str]:
    """Return the metadata in the head of an exported file.

    Raises:
        ValueError: if it cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a safetensors file, or damaged: {error}") from error


def weights_in(path: Path, training: Trained, asked: str | None) -> str:
    """Return the name of the weights that a file gives if `asked` are asked for.

    Args:
        path: a checkpoint, which has all kinds of weights, or an exported file, which has one.
        training: the training, whose averages have names.
        asked: the name that is asked for; null: `ema`, or the weights that an exported file holds.
    Raises:
        ValueError: if an exported file holds other weights, or there are none of this name.
    """
    if path.suffix != SAFETENSORS:
        if asked not in (None, *training.weight_names):
            known = ", ".join(training.weight_names)
            raise ValueError(f"weights must be one of {known}, got {asked}")
        return asked or "ema"
    about = json.loads(safetensors_metadata(path).get(DESCRIPTION, "{}"))
    own = str(about.get("weights", path.stem))
    if asked not in (None, own, *(["ema"] if own == training.ema.names[0] else [])):
        raise ValueError(
            f"evaluation.weights must be {own}, the weights in {path}, got {asked}; choose these, "
            "or name the file of the others, or the model's folder, which has all"
        )
    return own


def load_checkpoint(path: Path, training: Trained) -> None:
    """Load the raw and averaged weights of a checkpoint into a model.

    An exported file has one kind of weights; the raw and the averaged ones are then the same.

    Raises:
        ValueError: if it is no checkpoint, damaged, or of another architecture.
    """
    if path.suffix == SAFETENSORS:
        from safetensors.torch import load_file

        safetensors_metadata(path)  # Refuses a damaged file by a ValueError.
        state = load_file(path)
        network = training.formulation.network
        check_shapes(path, state, network.state_dict())
        network.load_state_dict(state)
        training.ema.follow(network)
        return
    checkpoint = read_checkpoint(path)
    check_network(path, checkpoint, training)
    check_undamaged(path)
    training.formulation.load_state_dict(checkpoint["state_dict"])
    training.ema.load_state_dict(checkpoint["ema"])


def check_undamaged(path: Path) -> None:
    """Refuse, by a ValueError, a checkpoint or exported weights whose recorded checksum differs.

    Without this check, a flipped bit of a weight would not be noticed.
    """
    record = read_record(path.with_name("model.json"))
    if path.name == "last.ckpt":
        known = record.get("checksums")
    else:
        known = [digest for name, digest in record.get("exports", {}).items() if name == path.name]
    if known and checksum(path) not in known:
        raise DamagedError(path, "its sha256 is not the one in model.json, so that it was changed")


def check_network(path: Path, checkpoint: Mapping[str, Any], training: Trained) -> None:
    """Refuse a checkpoint of another architecture by a ValueError."""
    check_shapes(path, checkpoint["state_dict"], training.formulation.state_dict())


def check_shapes(path: Path, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Refuse, by a ValueError, weights of other names or shapes than those of `own`."""
    found = {name: list(weight.shape) for name, weight in state.items()}
    wanted = {name: list(weight.shape) for name, weight in own.items()}
    for name in dict.fromkeys([*wanted, *found]):
        if found.get(name) != wanted.get(name):
            raise ValueError(
                f"{path} holds another network than the configuration asks for: {name} has shape "
                f"{found.get(name, 'none')} there and {wanted.get(name, 'none')} here"
            )


def weights_digest(weights: dict[str, Tensor]) -> str:
    """Return a hash of weights, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
