"""Files of a run besides its record: reading and checking its configuration, tables and arrays."""

import csv
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fokker.machine.csv_files import unquoted
from fokker.machine.disk import DamagedError
from fokker.machine.files import checksum, described
from fokker.machine.yaml_files import read_yaml
from fokker.store.whereabouts import as_today


def check_unchanged(folder: Path, record: Mapping[str, Any], *names: str) -> None:
    """Refuse files of a finished run whose sha256 is not the one in its record.

    Args:
        folder: the folder of the run.
        record: its run.json, with the sha256 of each file in `files` once the run is finished.
        names: the names of the files; a missing one is refused only if it is metrics.json.
    Raises:
        DamagedError: for the first file that is wrong.
    """
    known = record.get("files", {})
    for name in names:
        path = folder / name
        if name in known and path.is_file() and checksum(path) != known[name]:
            raise DamagedError(path, "its sha256 is not the one in run.json")
        if name in known and name == "metrics.json" and not path.is_file():
            raise DamagedError(path, "it is not there any more")


def read_config(path: Path, *groups: str) -> DictConfig:
    """Read a recorded configuration, with the targets that fokker's classes have today.

    Args:
        path: the path of config.yaml.
        groups: the keys that must hold mappings.
    Raises:
        DamagedError: if it is no such configuration.
    """
    try:
        # Nested aliases of a small file may expand to more than fits into memory.
        if "*" in (text := path.read_text(encoding="utf-8")):
            for event in yaml.parse(text, Loader=yaml.SafeLoader):
                if isinstance(event, yaml.AliasEvent):
                    raise ValueError(f"it must hold no aliases, and has *{event.anchor}")
        config = read_yaml(path)
        plain: Any = OmegaConf.to_container(config, resolve=True)
    except (ValueError, yaml.YAMLError, OmegaConfBaseException, RecursionError) as error:
        raise DamagedError(path, " ".join(str(error).split())) from error
    for group in groups:
        if not isinstance(plain.get(group), dict):
            shown = described(plain.get(group))
            raise DamagedError(path, f"{group} must be a mapping, got {shown}")
    written: Any = OmegaConf.to_container(config)
    now = as_today(written)
    return config if now == written else OmegaConf.create(now)


def read_table(path: Path) -> list[dict[str, str]]:
    """Read the rows of a table, by the names in its head.

    Raises:
        DamagedError: if it is no table, or a row has more or fewer cells than the head.
    """
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            lines = list(csv.reader(handle, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        why = f"it must be a table in CSV, and cannot be read as one: {error}"
        raise DamagedError(path, why) from error
    if not lines or not all(lines[0]):
        raise DamagedError(path, "it must be a table in CSV, and has no head")
    head, *rows = ([unquoted(cell) for cell in line] for line in lines)
    for number, row in enumerate(rows, 2):
        if len(row) != len(head):
            why = f"line {number} must have {len(head)} cells, and has {len(row)}"
            raise DamagedError(path, why)
    return [dict(zip(head, row)) for row in rows]


def read_arrays(path: Path, *names: str) -> dict[str, Any]:
    """Read the arrays of numbers in an .npz file.

    Args:
        path: the path of the file.
        names: the names of arrays that must be there.
    Raises:
        DamagedError: if it is no such file, lacks one of them, or holds other values than numbers.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as stored:
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            found = {name: stored[name] for name in stored.files}
    except (ValueError, TypeError, OSError, EOFError, KeyError, NotImplementedError) as error:
        raise _no_arrays(path, error) from error
    except (zipfile.BadZipFile, zlib.error, SyntaxError, MemoryError) as error:
        raise _no_arrays(path, error) from error
    for name in names:
        if name not in found:
            raise DamagedError(path, f"it must hold the array {name}, and does not")
    for name, array in found.items():
        if array.dtype.kind not in "fiub":
            raise DamagedError(path, f"{name} must hold numbers, and holds {array.dtype}")
    return found


def _no_arrays(path: Path, error: Exception) -> DamagedError:
    words = " ".join(str(error).split())
    return DamagedError(path, f"it must hold arrays, and cannot be read ({words})")
