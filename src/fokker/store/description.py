"""The description of a model in the files of its weights: all that is needed to load it."""

import json
from pathlib import Path
from typing import Any

from fokker.machine.disk import DamagedError
from fokker.store.checkpoints import DESCRIPTION, read_checkpoint, safetensors_metadata
from fokker.store.identity import Groups
from fokker.store.places import SAFETENSORS
from fokker.store.records import FORMAT, FormatError, check_format
from fokker.store.shapes import OF_BOTH
from fokker.store.whereabouts import as_today

_MOST_DIGITS = 300
_PARTS = {"format": int, "key": str, "config": dict, "data": dict, "record": dict}


def read_description(file: Path) -> dict[str, Any]:
    """Read the description in a checkpoint or an exported file, with targets as they are today.

    Raises:
        ValueError: if it is damaged, another version's, or there is none.
    """
    if file.suffix == SAFETENSORS:
        text = safetensors_metadata(file).get(DESCRIPTION)
    else:
        text = read_checkpoint(file).get(DESCRIPTION)
    if text is None and file.suffix == SAFETENSORS:  # Other programs write such files too.
        raise ValueError(
            f"nothing in {file} says what model it is, for it is not fokker's or was written by an "
            f"older version of fokker (format 1; this one reads {FORMAT}); name a file that this "
            "version exported"
        )
    if text is None:
        raise FormatError(file, 1)
    try:
        found: dict[str, Any] = json.loads(text, parse_int=_whole_number)
        if isinstance(found, dict):
            check_format(file, found)
        _check_parts(found)
    except FormatError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedError(file, f"its description cannot be read: {error}") from error
    return {**found, "config": as_today(found["config"])}


def _check_parts(found: dict[str, Any]) -> None:
    """Refuse a description whose parts are missing, or of other kinds.

    Raises:
        TypeError, KeyError, ValueError: with the part.
    """
    for key, kind in _PARTS.items():
        if not isinstance(found[key], kind):
            raise TypeError(f"{key} is no {kind.__name__}")
    if why := OF_BOTH.why_not(found["record"]):
        raise TypeError(why)
    for group in Groups.recorded(found["record"]).all:
        if not isinstance(found["config"][group], dict):
            raise TypeError(f"config.{group} is no dict")
    if "${" in json.dumps(found["config"]):
        raise ValueError("its configuration refers to something by ${")


def _whole_number(digits: str) -> int:
    """Return the whole number of these digits, unless there are too many to compute with."""
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def record_of(file: Path) -> dict[str, Any]:
    """Return what a checkpoint was made of: its key, overrides, options and hashes, and `config`.

    All of it is read from the file itself.
    """
    found = read_description(file)
    return {**found["record"], "key": found["key"], "config": found["config"]}
