"""Signals that end this process: each is heard, whatever becomes of what its handler raises."""

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

#: Ctrl-C; the end of a process' time, from the system or a scheduler; of its terminal.
HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
#: From a process's first moment; the others are of schedulers, and of a run.
AT_START = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ANEW = "stopped; the same command makes the run anew, and keeps a model that is trained"
AT_ONCE = "stopped at once; the same command goes on from the last save"


class Interrupted(SystemExit):
    """A run that was told to stop.

    Args:
        number: the signal's.
        text: what is done and how it goes on.
        has_advanced: whether steps were made and saved since it began.
    """

    def __init__(self, number: int, text: str = ANEW, has_advanced: bool = False) -> None:
        super().__init__(128 + number)
        self.number, self._text, self.has_advanced = number, text, has_advanced

    def __str__(self) -> str:
        return self._text


#: What tells of a signal.
STOPS = (Interrupted, KeyboardInterrupt)


def exit_code(stop: BaseException) -> int:
    """Return the exit code of a process that one of STOPS, or another SystemExit, has ended."""
    code = stop.code if isinstance(stop, SystemExit) else 128 + signal.SIGINT
    return code if isinstance(code, int) else int(bool(code))


@final
class Signals:
    """Whether this process was told to end, and by which signal.

    A handler raises where the process is. That may be in a destructor, in a function that C has
    called, or below an `except BaseException` of a library, and is swallowed there. So the signal
    is noted too, and whoever begins a job, a batch or a figure asks, which raises again. The first
    signal raises, and each Ctrl-C; a scheduler repeats itself.

    Attributes:
        asked: the number of the signal that came; 0: none.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._text = ANEW
        self._depth = self._held = 0
        self._is_met = self._is_over = False

    # ---- hearing -------------------------------------------------------------------------

    def hear(self, numbers: Sequence[int] = HEARD) -> dict[int, Any]:
        """Hear signals from now on, those that mean nothing else to this process.

        Returns:
            the handlers that were there before.
        """
        if not self._depth:
            self.asked = self._held = 0
            self._is_met = self._is_over = False
        self._depth += 1
        before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
        if before.get(signal.SIGINT) is not signal.default_int_handler:
            before.pop(signal.SIGINT, None)
        if before.get(signal.SIGHUP) is signal.SIG_IGN:  # By nohup, which means it.
            del before[signal.SIGHUP]
        before = {number: handler for number, handler in before.items() if handler != self._hear}
        for number in before:
            signal.signal(number, self._hear)
        return before

    @contextmanager
    def heard(self, numbers: Sequence[int] = HEARD) -> Iterator[None]:
        """Hear them in the block; what came before its outermost one is forgotten."""
        if threading.current_thread() is not threading.main_thread():  # Which hears none.
            yield
            return
        before, hook = self.hear(numbers), sys.unraisablehook
        sys.unraisablehook = lambda lost: None if isinstance(lost.exc_value, STOPS) else hook(lost)
        try:
            yield
        finally:
            sys.unraisablehook = hook
            for number, handler in before.items():
                signal.signal(number, handler)
            self._depth -= 1

    def _hear(self, number: int, frame: Any) -> None:
        if self._is_over or (self._is_met and number != signal.SIGINT):
            return
        is_first, is_second = not self.asked, number == signal.SIGINT == self.asked
        self.asked = self.asked if self._is_met else number
        if self._is_met or (self._held and is_second):
            raise KeyboardInterrupt(AT_ONCE)
        if not self._held and (is_first or number == signal.SIGINT):
            raise self._stop()

    def _stop(self) -> BaseException:
        if self.asked == signal.SIGINT:
            return KeyboardInterrupt(self._text)
        return Interrupted(self.asked, self._text)

    # ---- asking --------------------------------------------------------------------------

    def ask(self) -> None:
        """Go on, unless a signal came while signals are heard.

        Raises:
            Interrupted: after a signal other than Ctrl-C.
            KeyboardInterrupt: after Ctrl-C.
        """
        is_heard = self._depth > 0
        if is_heard and self.asked and not (self._held or self._is_met or self._is_over):
            raise self._stop()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Only note signals in the block, which is short or asks itself; a second Ctrl-C raises."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let a signal raise at the end of the block, which is short, and not in its middle.

        It is for a library that is left in pieces by what is raised anywhere in it.

        Raises:
            Interrupted: and
            KeyboardInterrupt: as `ask`, also in place of the block's own error.
        """
        try:
            with self.held():
                yield
        except BaseException as error:
            self._raise_again(error)
            raise
        self.ask()

    @contextmanager
    def raised(self, text: str = ANEW) -> Iterator[None]:
        """Let signals raise in the block, and what they have become there be the signal again.

        Args:
            text: what the one who is stopped there is told.
        Raises:
            Interrupted: and
            KeyboardInterrupt: as `ask`, at the block's begin, in it and at its end.
        """
        before = self._held, self._text
        self._held, self._text = 0, text
        try:
            self.ask()
            yield
            self.ask()
        except BaseException as error:
            self._raise_again(error)
            raise
        finally:
            self._held, self._text = before

    def _raise_again(self, error: BaseException) -> None:
        """Ask, unless an error tells of the signal by itself."""
        is_end = isinstance(error, SystemExit) and error.code == 128 + self.asked
        if not (is_end or isinstance(error, STOPS)):
            self.ask()

    # ---- the end -------------------------------------------------------------------------

    def meet(self) -> None:
        """Let what ends in good order after a signal ask no more; Ctrl-C still raises."""
        self._is_met = bool(self.asked)

    def end(self) -> None:
        """Hear nothing any more: what is to be said is said."""
        self._is_over = True


#: Those of this process, which has one set of handlers.
SIGNALS = Signals()
