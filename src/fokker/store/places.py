"""Models and runs that a user names, which are found or refused without torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fokker.machine.disk import DamagedError
from fokker.machine.files import described
from fokker.machine.named_files import one_line
from fokker.store.records import read_record
from fokker.store.run_files import check_unchanged, read_config

#: The ending of files of exported weights.
SAFETENSORS = ".safetensors"
#: The beginning of a message about a run that is to be drawn beside another.
BESIDE = "evaluation.beside must list"
#: The number of folders above a run in which `models` is searched; it is in the third for a job.
_LEVELS_UP = 4


def find_checkpoint(path: Path, key: str = "") -> Path:
    """Return the checkpoint at a path: a file, a model's folder or a run's folder.

    A run's model is searched by its name below the folders above the run, since `outputs` may have
    been moved or copied, and then at its recorded path. A checkpoint file that the run was given is
    searched at its recorded path first.

    Args:
        path: the path as the user gives it.
        key: the key that gives it, for the message.
    Raises:
        ValueError: if there is no checkpoint.
    """
    path = path.expanduser()
    if path.name in ("model.json", "run.json", "config.yaml"):
        path = path.parent
    if path.is_file():
        return path
    for place in _places(path):
        if place.is_file():
            return place
    name, record = one_line(str(path)), path / "run.json"
    where = f"{name}, whose run.json names no model that is there" if record.is_file() else name
    raise ValueError(
        f"{f'{key} must lead to a model, and there is ' if key else ''}no checkpoint at {where}; "
        f"give a run's folder, a model's folder, a .ckpt or a {SAFETENSORS} file"
    )


def _places(path: Path) -> Iterator[Path]:
    """Yield the places where the checkpoint of a folder may be."""
    yield path / "last.ckpt"
    model = read_record(path / "run.json").get("model")
    if not model or "path" not in model:
        return
    was, key = Path(model["path"]), model["key"]
    if was.suffix:  # The run was given this file, in place of a model of its outputs.
        yield was
        key = was.parent.name
    if Path(key).name == key and key not in ("", ".."):
        for above in path.resolve().parents[:_LEVELS_UP]:
            yield above / "models" / key / (was.name if was.suffix else "last.ckpt")
    yield was / "last.ckpt"


def finished_run(path: Path, asks: str) -> dict[str, Any]:
    """Return the record of a finished run.

    Args:
        path: the run's folder.
        asks: the beginning of the message, such as "task=compare needs".
    Raises:
        ValueError: if the folder is not that of a finished run, or one of its files is damaged.
    """
    record = read_record(path / "run.json")
    status = record.get("status", "there is no run.json in it")
    if status != "completed":
        name = one_line(str(path))
        raise ValueError(f"{asks} finished runs, and {name} is not one: {status}")
    config = path / "config.yaml"
    if not config.is_file():
        raise ValueError(f"{asks} finished runs, and {config} is no configuration")
    check_unchanged(path, record, "config.yaml", "metrics.json")
    stored = read_config(config, "data", "evaluation")
    seed = stored.get("seed")
    if not isinstance(seed, int):
        raise DamagedError(config, f"seed must be a whole number, got {described(seed)}")
    read_record(path / "metrics.json")
    return record


def last_run(output_dir: Path) -> Path | None:
    """Return the folder of the completed run with a model whose record was written last, if any.

    Raises:
        DamagedError: if a later record cannot be read, since it may be the one of that run.
    """
    files = {
        (file.stat().st_mtime, file.parent.name): file
        for file in (output_dir / "runs").glob("*/run.json")
    }
    for _, file in sorted(files.items(), reverse=True):
        record = read_record(file)
        if record.get("status") == "completed" and record.get("model"):
            return file.parent
    return None
