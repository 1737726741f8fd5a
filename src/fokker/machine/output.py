"""Output to a user who may stop reading it, as in `fokker ... | head`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, final

from fokker.machine.masking import masked


@final
class Listener:
    """A stream whose reader may go away, or whose disk may fill up; the rest is then discarded.

    Characters that its encoding lacks are written as escapes, and passwords are masked.

    Args:
        stream: the stream to write to, such as `sys.stdout`.
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
        # The descriptor itself is replaced, since python flushes the stream once more at exit.
        nobody = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nobody, self._stream.fileno())
        os.close(nobody)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def patient_output() -> Iterator[None]:
    """Go on in the block if the reader of stdout or stderr goes away."""
    before: Any = (sys.stdout, sys.stderr)
    sys.stdout, sys.stderr = (Listener(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
