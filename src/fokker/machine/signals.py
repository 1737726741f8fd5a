"""Signals that end this process: each takes effect, even if what its handler raises is lost."""

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

#: Ctrl-C, the end of a process's time by the system or a scheduler, and the end of its terminal.
HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
#: Heard from a process's first moment; the others come from schedulers, and are heard in a run.
AT_START = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ANEW = "stopped; the same command makes the run anew, and keeps a model that is trained"
AT_ONCE = "stopped at once; the same command goes on from the last save"


class Interrupted(SystemExit):
    """The end of a run that was told to stop.

    Args:
        number: the number of the signal.
        text: the message: what was done, and how the run goes on.
        has_advanced: whether optimizer steps were made and saved since the run began.
    """

    def __init__(self, number: int, text: str = ANEW, has_advanced: bool = False) -> None:
        super().__init__(128 + number)
        self.number, self._text, self.has_advanced = number, text, has_advanced

    def __str__(self) -> str:
        return self._text


#: The exceptions that a signal raises.
STOPS = (Interrupted, KeyboardInterrupt)


def exit_code(stop: BaseException) -> int:
    """Return the exit code of a process that one of STOPS, or another SystemExit, has ended."""
    code = stop.code if isinstance(stop, SystemExit) else 128 + signal.SIGINT
    return code if isinstance(code, int) else int(bool(code))


@final
class Signals:
    """The record of whether this process was told to end, and by which signal.

    A handler raises wherever the process is at that moment. In a destructor, in a function that C
    has called, or below an `except BaseException` of a library, the exception is swallowed. So the
    signal is noted too, and code that begins a job, a batch or a figure calls `ask`, which raises
    again. The first signal raises, and each Ctrl-C. Later signals of a scheduler, which repeats
    itself, do not.

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
        """Hear signals from now on, except those that mean something else to this process.

        Ctrl-C is left to another program's handler if there is one, and a hang-up to nohup.

        Returns:
            the earlier handlers of the signals that are heard from now on.
        """
        if not self._depth:
            self.asked = self._held = 0
            self._is_met = self._is_over = False
        self._depth += 1
        before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
        if before.get(signal.SIGINT) is not signal.default_int_handler:
            before.pop(signal.SIGINT, None)
        if before.get(signal.SIGHUP) is signal.SIG_IGN:  # By nohup, on purpose.
            del before[signal.SIGHUP]
        before = {number: handler for number, handler in before.items() if handler != self._hear}
        for number in before:
            signal.signal(number, self._hear)
        return before

    @contextmanager
    def heard(self, numbers: Sequence[int] = HEARD) -> Iterator[None]:
        """Hear signals in the block; an outermost block forgets those that came before it."""
        if threading.current_thread() is not threading.main_thread():  # It may set no handlers.
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

    def _hear(self, number: int, frame: object) -> None:
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
        """Raise if a signal was heard, unless signals are only noted or one was met already.

        Raises:
            Interrupted: after a signal other than Ctrl-C.
            KeyboardInterrupt: after Ctrl-C.
        """
        is_heard = self._depth > 0
        if is_heard and self.asked and not (self._held or self._is_met or self._is_over):
            raise self._stop()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Note signals in the block without raising, except for a second Ctrl-C.

        The block must be short, or let signals raise in parts of it by `raised`.
        """
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let a signal raise at the end of the block, which must be short, not in its middle.

        It protects a library that an exception in its middle would leave in a broken state.

        Raises:
            Interrupted: as by `ask`, also in place of the block's own error.
            KeyboardInterrupt: likewise.
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
        """Let signals raise in the block, also in place of another error there after a signal.

        Args:
            text: the message to a user who stops the block.
        Raises:
            Interrupted: as by `ask`, at the beginning of the block, in it and at its end.
            KeyboardInterrupt: likewise.
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
        """Call `ask`, unless an error already stands for the signal."""
        is_end = isinstance(error, SystemExit) and error.code == 128 + self.asked
        if not (is_end or isinstance(error, STOPS)):
            self.ask()

    # ---- the end -------------------------------------------------------------------------

    def meet(self) -> None:
        """Let the process end in good order after a signal: from now on only Ctrl-C raises."""
        self._is_met = bool(self.asked)

    def end(self) -> None:
        """Ignore all signals from now on, since the process ends anyway."""
        self._is_over = True


#: The signals of this process, which has one set of handlers.
SIGNALS = Signals()
