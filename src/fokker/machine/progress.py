"""The progress of a long piece of work, on a terminal and elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event, Thread
from time import monotonic
from typing import final

from tqdm import tqdm

#: The time between two lines where there is no terminal, in seconds.
LINE_SECONDS = 60.0


def nobody(text: str) -> None:
    """Say nothing."""


def print_now(text: str) -> None:
    """Print a line and flush it, so that it is read at once through a pipe too."""
    print(text, flush=True)


@contextmanager
def minute_lines(line: Callable[[], str]) -> Iterator[None]:
    """Print a line a minute while the block runs, where the output is no terminal.

    Args:
        line: a function that returns the line; it is called in a thread of its own.
    """
    over = Event()

    def tell() -> None:
        while not over.wait(LINE_SECONDS):
            print_now(line())

    thread = Thread(target=tell, name="minutes", daemon=True)
    if not sys.stdout.isatty():
        thread.start()
    try:
        yield
    finally:
        over.set()


def duration(seconds: float) -> str:
    """Format a duration in seconds, minutes, hours or days."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 3e5 else f"{seconds / 86400:,.0f} days"


def expected_end(seconds: float) -> str:
    """Format the time that is left, and the time of day of the end if it is within a year."""
    if seconds > 3e7:
        return f"about {duration(seconds)}"
    end = datetime.now() + timedelta(seconds=seconds)
    return f"about {duration(seconds)}, until {end:%H:%M}"


@final
class Steps:
    """The steps of a piece of work: a bar on a terminal, elsewhere a line a minute.

    Args:
        what: the name of the work, for instance `training`.
        total: the number of steps in all.
        say: a function that prints a line to the user.
        done: the number of steps that were done before.
        is_shown: whether anything is shown; of several ranks only the first shows it.
    """

    def __init__(
        self,
        what: str,
        total: int,
        say: Callable[[str], None],
        done: int = 0,
        is_shown: bool = True,
    ) -> None:
        self._what, self._total, self._say = what, total, say
        self._done = self._begun_at = done
        self._started = self._said = monotonic()
        self._has_lines = is_shown and not sys.stderr.isatty()
        self._bar = tqdm(
            total=total, initial=done, desc=what, unit="step", dynamic_ncols=True, leave=False,
            disable=not is_shown or self._has_lines,
        )  # fmt: skip

    def advance(self, steps: int, note: str = "") -> None:
        """Count steps that were done, and show a few words with them, such as the loss."""
        self._done += steps
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(steps)
        now = monotonic()
        if self._has_lines and now - self._said >= LINE_SECONDS and self._done < self._total:
            self._said = now
            self._say(self._line(now, note))

    def _line(self, now: float, note: str) -> str:
        per_step = (now - self._started) / max(1, self._done - self._begun_at)
        left = expected_end(per_step * (self._total - self._done))
        words = [f"{self._what}, {self._done:,} of {self._total:,} steps", note, f"to go {left}"]
        return ", ".join(word for word in words if word)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()
