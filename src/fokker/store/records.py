"""Records of runs, models and sweeps: reading them, and checking the kinds of their values.

A record may be another program's or damaged. Reading it runs no code of it. A value of another
kind than fokker writes is refused in a sentence that names the file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from fokker.machine.disk import DamagedError, short
from fokker.machine.files import read_json
from fokker.store.shapes import COUNT, SHAPES

#: The keys of the data that say how data are read, and do not change them.
WAYS_OF_READING = ("batch_size", "workers", "in_memory")
#: The format of run.json, model.json and the description in a model's files. It is raised when an
#: older version could not read them.
FORMAT = 2
#: The records that name their format.
WITH_FORMAT = ("run.json", "model.json")


@final
class FormatError(DamagedError):
    """An error of a file of another version of fokker, in a format that this one does not read.

    Args:
        path: the path of the file.
        format: the format of the file.
        known: the entries of the file, with values of any kinds.
    """

    def __init__(self, path: Path, format: int, known: Mapping[str, object] | None = None) -> None:
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
    """Refuse, by a FormatError, content of another version; without an entry the format is 1.

    An entry that is no format at all is left to the check of the other values.
    """
    found = content.get("format", 1)
    if COUNT.fits(found) and found != FORMAT:
        raise FormatError(path, found, content)


def read_record(path: Path) -> dict[str, Any]:
    """Read a record, with values of the kinds that its name asks for; empty if it is not there.

    Raises:
        DamagedError: if it is another program's, or damaged.
        FormatError: if another version wrote it.
    """
    content = read_json(path)
    if not path.is_file():
        return {}
    shape = SHAPES[path.name]
    # Without any known name it is another program's file, not one of an older version.
    if path.name in WITH_FORMAT and content.keys() & shape.kinds.keys():
        check_format(path, content)
    if why := "it holds nothing" if not content else shape.why_not(content):
        raise DamagedError(path, why)
    return content


def check_has(path: Path, record: Mapping[str, object], *names: str) -> None:
    """Refuse, by a DamagedError, a record that is not empty and lacks one of these names."""
    for name in names:
        if record and name not in record:
            raise DamagedError(path, f"{name} is missing")


def record_or_why(path: Path) -> tuple[dict[str, Any], DamagedError | None]:
    """Return a record and nothing, or an empty record and the error that says what is wrong."""
    try:
        return read_record(path), None
    except DamagedError as error:
        return {}, error
    except OSError as error:
        return {}, DamagedError(path, f"it cannot be read ({error.strerror})")
