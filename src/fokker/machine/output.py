"""What is said to the user, who may stop to listen: `fokker ... | head`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, final

from fokker.machine.masking import masked


@final
class Listener:
    """A stream whose reader may go away, or whose disk fill up; the rest is said to nobody.

    What it has no letters for is said by their numbers, and no password is said.

    Args:
        stream: as `sys.stdout`.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        said = masked(text)
        try:
            try:
                self._stream.write(said)
            except UnicodeEncodeError:
                known = self._stream.encoding
                self._stream.write(said.encode(known, "backslashreplace").decode(known))
        except OSError:
            self._leave()
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._leave()

    def _leave(self) -> None:
        # The descriptor itself, since python flushes the stream once more at its end.
        nobody = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nobody, self._stream.fileno())
        os.close(nobody)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def patient_output() -> Iterator[None]:
    """Let a lost reader of stdout or stderr end nothing."""
    before: Any = (sys.stdout, sys.stderr)
    sys.stdout, sys.stderr = (Listener(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
