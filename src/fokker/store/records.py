"""Records of runs, models and sweeps: read, and checked to be of the kinds that are used.

They may be another's or damaged. What is read here runs nothing, and is of the kinds that are
written, or it is refused in a sentence that names the file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from fokker.machine.disk import DamagedError, short
from fokker.machine.files import read_json
from fokker.store.shapes import COUNT, SHAPES

#: Keys of the data that say how they are read, and leave them as they are.
WAYS_OF_READING = ("batch_size", "workers", "in_memory")
#: Of run.json, model.json and the description in a model's files; raised when an older version
#: could not read them.
FORMAT = 2
#: The records that say their format.
WITH_FORMAT = ("run.json", "model.json")


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
