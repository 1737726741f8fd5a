"""The trained models of an output folder: their status, their uses, and the deletion of some.

Nothing here needs torch, so that `fokker task=models` answers at once.
"""

import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import final
from zipfile import is_zipfile

from filelock import FileLock, Timeout

from fokker import __version__
from fokker.machine.disk import DamagedError
from fokker.machine.locks import is_locked
from fokker.store.listing import (
    DELETED,
    MEGABYTE,
    folders_in,
    listed,
    remove_deleted,
    size_of,
    typed_text,
)
from fokker.store.model_uses import uses_of
from fokker.store.records import FormatError, record_or_why

# The ending of the folder in which a model is trained again; uses of the first count for both.
RETRAIN = ".retrain"


@final
@dataclass(frozen=True)
class Model:
    """One folder of outputs/models.

    Attributes:
        path: the path of the folder.
        status: the status of the training, in words.
        steps: the optimizer steps of the checkpoint; none if no record says so.
        size_bytes: the bytes of its files.
        age_seconds: the time since it was last written.
        last_use: the last time that a run which used it was written, in seconds since 1970; none:
            it was never used.
        runs: the number of runs that used it.
        is_ours: whether this version of fokker wrote it.
        is_held: whether a live process trains it.
        overrides: the overrides of the run that trained it, without hydra's own.
    """

    path: Path
    status: str
    steps: int | None
    size_bytes: int
    age_seconds: float
    last_use: float | None
    runs: int
    is_ours: bool
    is_held: bool
    overrides: str

    @property
    def name(self) -> str:
        """Return the name of the folder: <formulation>-<data>-<10 hex>, perhaps with `RETRAIN`."""
        return self.path.name


def models(output_dir: Path) -> list[Model]:
    """Return the models of an output folder: the last used first, those never used at the end."""
    used = _uses(output_dir)[0]
    found = [_model_or_why(path, used) for path in folders_in(output_dir / "models")]
    return sorted(found, key=lambda m: (-(m.last_use or 0.0), m.age_seconds, m.name))


def delete(output_dir: Path, asked: Sequence[str] | None) -> list[Model]:
    """Delete models, and return their descriptions.

    Args:
        output_dir: the output folder of the models.
        asked: the names of models, or their last 10 hexadecimal digits; none: all that no run used,
            wherever it lies, that no live process holds, and that this version wrote.
    Raises:
        ValueError: for an unknown name, a model that a live process trains, or, where unused ones
            are asked for, a record that cannot be read; then nothing is deleted.
    """
    there = models(output_dir)
    if asked is None:
        if unread := _uses(output_dir)[1]:
            raise ValueError(
                f"delete=unused must know of all runs which models they used, and {unread[0]}; "
                "nothing was deleted"
            )
        chosen = [m for m in there if m.runs == 0 and m.is_ours and not m.is_held]
    else:
        chosen = [model for name in asked for model in _named(name, there, output_dir)]
        chosen = list(dict.fromkeys(chosen))
    with ExitStack() as held:
        for path in dict.fromkeys(_lock_path(model.path) for model in chosen):
            try:
                held.enter_context(FileLock(path).acquire(timeout=0))
            except Timeout:
                name = path.name[1 : -len(".lock")]
                raise ValueError(
                    f"delete must list models that no process trains now, got {name}; wait for it "
                    "or stop it, nothing was deleted"
                ) from None
        # Renamed first: a removal that is cut off leaves no half of a model under its name.
        gone = [m.path.with_name(f"{DELETED}{m.name}.{os.getpid()}") for m in chosen]
        for model, place in zip(chosen, gone, strict=True):
            model.path.rename(place)
    remove_deleted(output_dir / "models")
    return chosen


def models_text(found: Sequence[Model], output_dir: Path) -> str:
    """Format models as a table, with their sum and the records that do not tell what a run used."""
    return "\n".join([_table(found, output_dir), *map(str, _uses(output_dir)[1])])


def _table(found: Sequence[Model], output_dir: Path) -> str:
    total = sum(model.size_bytes for model in found) / MEGABYTE
    count = f"{len(found)} model{'' if len(found) == 1 else 's'}"
    sum_line = f"{count} in {output_dir / 'models'}, {total:.1f} MB"
    if not found:
        return sum_line if output_dir.is_dir() else f"{sum_line}: there is no such folder"
    rows = [("name", "status", "steps", "MB", "age", "last use", "runs", "overrides")]
    for m in found:
        last = "never" if m.last_use is None else f"{_ago(time() - m.last_use)} ago"
        steps = "-" if m.steps is None else str(m.steps)
        size, age = f"{m.size_bytes / MEGABYTE:.1f}", _ago(m.age_seconds)
        rows.append((m.name, m.status, steps, size, age, last, str(m.runs), m.overrides))
    return "\n".join([*listed(rows, right=range(2, 7)), sum_line])


def deleted_text(gone: Sequence[Model]) -> str:
    """Format the models that were deleted, with the space that this has freed."""
    freed = sum(model.size_bytes for model in gone) / MEGABYTE
    lines = [f"deleted  {model.name}  {model.size_bytes / MEGABYTE:.1f} MB" for model in gone]
    count = f"{len(gone)} model{'' if len(gone) == 1 else 's'}"
    return "\n".join([*lines, f"{count} deleted, {freed:.1f} MB freed"])


def _named(name: str, there: Sequence[Model], output_dir: Path) -> list[Model]:
    """Return the model of a name; the 10 digits of its key mean the retraining of it too."""
    found = [model for model in there if model.name == name]
    if not found and re.fullmatch("[0-9a-f]{10}", name):
        found = [m for m in there if m.name.removesuffix(RETRAIN).endswith(f"-{name}")]
    if not found:
        raise ValueError(
            f"delete must list models of {output_dir / 'models'}, got {name}, which is not one; "
            "fokker task=models lists them, nothing was deleted"
        )
    return found


def _lock_path(path: Path) -> Path:
    """Return the file of the lock of a model's training, as `ModelFolder.lock` names it."""
    return path.with_name(f".{path.name.removesuffix(RETRAIN)}.lock")


def _model_or_why(path: Path, used: dict[str, list[float]]) -> Model:
    """Describe a model; for one that this user may not read, say why nothing is known."""
    try:
        return _model(path, used)
    except OSError as error:
        uses = used.get(path.name.removesuffix(RETRAIN), [])
        return Model(
            path=path,
            status=f"cannot be read: {error.strerror}",
            steps=None,
            size_bytes=0,
            age_seconds=time() - path.stat().st_mtime,
            last_use=max(uses, default=None),
            runs=len(uses),
            is_ours=False,
            is_held=False,
            overrides="",
        )


def _model(path: Path, used: dict[str, list[float]]) -> Model:
    record, why = record_or_why(path / "model.json")
    is_held = is_locked(_lock_path(path))
    files = [p for p in path.rglob("*") if p.is_file() and not p.is_symlink()]
    written = max((p.stat().st_mtime for p in files), default=path.stat().st_mtime)
    uses = used.get(path.name.removesuffix(RETRAIN), [])
    has_weights = (path / "last.ckpt").is_file()
    steps = record.get("step", 0) if has_weights else 0
    version = _text(record.get("versions"), "fokker")
    status = str(record.get("status", ""))
    is_known = status != ""
    if why:
        words = why.why if isinstance(why, FormatError) else f"damaged: {why.why}"
    elif not is_known:
        words = "not a model of fokker's: no model.json that can be read"
    elif has_weights and not is_zipfile(path / "last.ckpt"):
        words = "damaged: its last.ckpt cannot be read"
    elif status == "complete" and has_weights:
        words = "complete"
    else:
        # The step is given, since a rerun goes on from it, even after a divergence.
        begun = status if status in ("diverged", "stopped early") else "unfinished"
        words = f"{begun} at step {steps} of {_max_steps(path)}"
    if is_known and version != __version__:
        words += f", of fokker {version or 'unknown'}"
    return Model(
        path=path,
        status=f"being trained now, {words}" if is_held else words,
        steps=steps if is_known else None,
        size_bytes=size_of(path),
        age_seconds=time() - written,
        last_use=max(uses, default=None),
        runs=len(uses),
        is_ours=is_known and version == __version__,
        is_held=is_held,
        overrides=typed_text(record.get("overrides")),
    )


def _uses(output_dir: Path) -> tuple[dict[str, list[float]], list[DamagedError]]:
    """Return the times of uses by the model's name, and the records that cannot be read."""
    return uses_of(output_dir, list(folders_in(output_dir / "models")))


def _text(node: object, key: str) -> str:
    """Return an entry of what should be a dictionary, as a text; empty if it is missing."""
    return str(node.get(key, "")) if isinstance(node, dict) else ""


def _max_steps(path: Path) -> str:
    """Return how many optimizer steps a model's configuration asks for; `?` if it does not say."""
    file = path / "config.yaml"
    # In a resolved configuration nothing else has this name, and a YAML parser would be slow.
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    found = re.search(r"^  max_steps: (\d+)$", text, re.MULTILINE)
    return found[1] if found else "?"


def _ago(seconds: float) -> str:
    """Format a time span in its largest unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
