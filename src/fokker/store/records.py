"""What files of runs, models and sweeps hold: read, and checked to be of the kinds that are used.

They may be another's or damaged. What is read here runs nothing, and is of the kinds that are
written, or it is refused in a sentence that names the file.
"""

import csv
import math
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fokker.machine.csv_files import unquoted
from fokker.machine.disk import DamagedError, short
from fokker.machine.files import checksum, described, read_json
from fokker.machine.yaml_files import read_yaml
from fokker.store.whereabouts import as_today

#: Keys of the data that say how they are read, and leave them as they are.
WAYS_OF_READING = ("batch_size", "workers", "in_memory")
#: Of run.json, model.json and the description in a model's files; raised when an older version
#: could not read them.
FORMAT = 2
#: The records that say their format.
WITH_FORMAT = ("run.json", "model.json")
#: The file of a model's folder that lists the runs elsewhere which used it, a line each.
USED_BY = "used_by.jsonl"


@final
class FormatError(DamagedError):
    """A file that another version of fokker wrote, in a format that this one does not read.

    Args:
        path: of the file.
        format: of it.
        known: what it holds, of whatever kinds.
    """

    def __init__(self, path: Path, format: int, known: Mapping[str, Any] | None = None) -> None:
        self.is_older, self.known = format < FORMAT, known or {}
        age = "an older" if self.is_older else "a newer"
        why = f"written by {age} version of fokker (format {format}; this one reads {FORMAT})"
        super().__init__(path, why)

    def __str__(self) -> str:
        again = "run it again in another folder" if self.path.name == "run.json" else "train again"
        return f"{short(self.path)} was {self.why}; use the version that wrote it, or {again}"

    @property
    def in_short(self) -> str:
        return self.why


def check_format(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse, by a FormatError, what another version wrote; the first one did not say its format.

    What is no format at all is left to who checks the other values.
    """
    found = content.get("format", 1)
    if COUNT.fits(found) and found != FORMAT:
        raise FormatError(path, found, content)


@final
@dataclass(frozen=True)
class Kind:
    """A kind of values.

    Attributes:
        words: what it is, as in `must be a text`.
        fits: whether a value is of it.
    """

    words: str
    fits: Callable[[Any], bool]

    @property
    def or_null(self) -> "Kind":
        """The same, or null."""
        return Kind(f"{self.words} or null", lambda v: v is None or self.fits(v))

    @property
    def listed(self) -> "Kind":
        """A list of such values."""
        return Kind(
            f"a list, each {self.words}",
            lambda v: isinstance(v, list) and all(map(self.fits, v)),
        )

    @property
    def by_name(self) -> "Kind":
        """A mapping to such values."""
        return Kind(
            f"a mapping, each value {self.words}",
            lambda v: isinstance(v, dict) and all(map(self.fits, v.values())),
        )


def _is_number(value: Any) -> bool:
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        return False
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _one_of(*words: str) -> Kind:
    return Kind(f"one of {', '.join(words)}", lambda v: v in words)


def _with(**kinds: Kind) -> Kind:
    """A mapping that has these names, and maybe others."""

    def fits(value: Any) -> bool:
        return isinstance(value, dict) and all(
            name in value and kind.fits(value[name]) for name, kind in kinds.items()
        )

    return Kind("a mapping with " + ", ".join(f"{n}: {k.words}" for n, k in kinds.items()), fits)


TEXT = Kind("a text", lambda v: isinstance(v, str))
COUNT = Kind("a whole number from 0 on", lambda v: type(v) is int and v >= 0)
_SIZE = Kind("a whole number from 1 on", lambda v: type(v) is int and v >= 1)
NUMBER = Kind("a number", _is_number)
AMOUNT = Kind("a finite number from 0 on", lambda v: _is_number(v) and 0 <= v < math.inf)
ANYTHING = Kind("anything", lambda v: True)
_YES = Kind("true or false", lambda v: isinstance(v, bool))
_NAMED = Kind("a mapping of texts with a key", lambda v: TEXT.by_name.fits(v) and "key" in v)
_AXIS = _with(name=TEXT, symbol=TEXT, label=TEXT, quantity=TEXT, unit=TEXT, is_log=_YES)
_BEST = _one_of("lowest", "highest", "closest to 1")
_MEASURE = _with(words=TEXT, unit=TEXT, best=_BEST, is_of_model=_YES)
_PRUNER = Kind(
    "a name with its arguments",
    lambda v: isinstance(v, list) and len(v) == 2 and TEXT.fits(v[0]) and isinstance(v[1], dict),
)


@final
@dataclass(frozen=True)
class Shape:
    """What a JSON file of a name holds.

    Attributes:
        needed: names that must be there.
        kinds: of values, by name; a name that is not listed is used by nothing.
        others: the kind of all other values.
    """

    kinds: Mapping[str, Kind] = field(default_factory=dict)
    needed: Sequence[str] = ()
    others: Kind = ANYTHING

    def why_not(self, content: Mapping[str, Any]) -> str:
        """What is wrong with what a file holds, in words; empty if nothing is."""
        for name in self.needed:
            if name not in content:
                return f"{name} is missing"
        for name, value in content.items():
            kind = self.kinds.get(name, self.others)
            if not kind.fits(value):
                return f"{name} must be {kind.words}, got {described(value)}"
        return ""


#: Of runs and of models.
_OF_BOTH = {
    "format": COUNT,
    "parts": TEXT.listed,
    "data_groups": TEXT.listed,
    "overrides": TEXT.listed,
    "formulation": TEXT,
    "data": TEXT,
    "made_of": TEXT.by_name,
    "units": TEXT,
    "versions": TEXT.by_name,
    "seconds": AMOUNT.or_null,
    "images": COUNT.or_null,
    "images_per_second": AMOUNT.or_null,
    "parameters": COUNT,
    "continued_from": TEXT,
    "continued_at": COUNT,
}
#: What the record of a run and that of a model have alike.
OF_BOTH = Shape(_OF_BOTH)
SHAPES = {
    "run.json": Shape(
        {
            **_OF_BOTH,
            "status": _one_of(
                "running", "completed", "failed", "diverged", "interrupted", "pruned"
            ),
            "training": _one_of("trained", "continued", "found", "loaded", "exact"),
            "model": _NAMED.or_null,
            "axis": _AXIS,
            "measures": _MEASURE.by_name,
            "error": TEXT.or_null,
            "sweep": TEXT,
            "swept": TEXT.by_name,
            "slurm": _with(job=TEXT, step=TEXT, restarts=COUNT),
            "samples": TEXT,
            "group": _SIZE,
            "nfe": AMOUNT,
            "training_seconds": AMOUNT,
            "sampling_seconds": AMOUNT,
            "stopped_early": _with(step=COUNT, max_steps=COUNT),
            "files": TEXT.by_name,
        },
        needed=("status",),
    ),
    "model.json": Shape(
        {
            **_OF_BOTH,
            "status": _one_of("training", "interrupted", "diverged", "complete", "stopped early"),
            "key": TEXT,
            "step": COUNT,
            "checksums": TEXT.listed,
            "exports": TEXT.by_name,
        },
    ),
    "metrics.json": Shape(others=NUMBER.or_null),
    "jobs.json": Shape(
        {
            "search": TEXT,
            "jobs": _with(key=TEXT, swept=TEXT.by_name, overrides=TEXT.listed).listed,
        },
        needed=("jobs",),
    ),
    "trial.json": Shape(
        {
            "storage": TEXT,
            "study": TEXT,
            "number": COUNT,
            "prune_on": TEXT.or_null,
            "pruner": _PRUNER.or_null,
        },
        needed=("storage", "study", "number", "prune_on", "pruner"),
    ),
    "wandb.json": Shape({"id": TEXT.or_null}),
}


def read_record(path: Path) -> dict[str, Any]:
    """What a record holds, of the kinds that its name asks for; nothing if it is not there.

    Raises:
        DamagedError: if it is another program's, or damaged.
        FormatError: if another version wrote it.
    """
    content = read_json(path)
    if not path.is_file():
        return {}
    shape = SHAPES[path.name]
    if path.name in WITH_FORMAT and content.keys() & shape.kinds.keys():  # Else it is foreign.
        check_format(path, content)
    if why := "it holds nothing" if not content else shape.why_not(content):
        raise DamagedError(path, why)
    return content


def check_has(path: Path, record: Mapping[str, Any], *names: str) -> None:
    """Refuse, by a DamagedError, a record that is there and lacks what is needed now."""
    for name in names:
        if record and name not in record:
            raise DamagedError(path, f"{name} is missing")


def record_or_why(path: Path) -> tuple[dict[str, Any], DamagedError | None]:
    """What a record holds, or nothing and what is wrong with it."""
    try:
        return read_record(path), None
    except DamagedError as error:
        return {}, error
    except OSError as error:
        return {}, DamagedError(path, f"it cannot be read ({error.strerror})")


def check_unchanged(folder: Path, record: Mapping[str, Any], *names: str) -> None:
    """Refuse files of a finished run that are not those that its record knows.

    Args:
        folder: of the run.
        record: its run.json, with a sha256 of each file in `files`, once it is finished.
        names: of the files; one that is not there is left to who needs it, but for metrics.json.
    Raises:
        DamagedError: for the first one.
    """
    known = record.get("files", {})
    for name in names:
        path = folder / name
        if name in known and path.is_file() and checksum(path) != known[name]:
            raise DamagedError(path, "its sha256 is not the one in run.json")
        if name in known and name == "metrics.json" and not path.is_file():
            raise DamagedError(path, "it is not there any more")


def read_config(path: Path, *groups: str) -> DictConfig:
    """A recorded configuration, with fokker's classes where they are today.

    Args:
        path: of config.yaml.
        groups: what must be mappings in it.
    Raises:
        DamagedError: if it is none.
    """
    try:
        if "*" in (text := path.read_text(encoding="utf-8")):  # An alias may stand for a billion.
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
    """The rows of a table, by the names in its head.

    Raises:
        DamagedError: if it is none, or a row has more or fewer cells than the head.
    """
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            lines = list(csv.reader(handle, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DamagedError(path, f"it must be a table in CSV, and is none: {error}") from error
    if not lines or not all(lines[0]):
        raise DamagedError(path, "it must be a table in CSV, and has no head")
    head, *rows = ([unquoted(cell) for cell in line] for line in lines)
    for number, row in enumerate(rows, 2):
        if len(row) != len(head):
            why = f"line {number} must have {len(head)} cells, and has {len(row)}"
            raise DamagedError(path, why)
    return [dict(zip(head, row)) for row in rows]


def read_arrays(path: Path, *names: str) -> dict[str, Any]:
    """The arrays of numbers in an .npz file.

    Args:
        path: of the file.
        names: of arrays that must be there.
    Raises:
        DamagedError: if it is none, or has others.
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
