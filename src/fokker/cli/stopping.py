"""Ending a sweep or a search in the middle."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fokker.disk import DiskError


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM, or a closed terminal, ends a sweep as ctrl-C does: what is done is collected."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        # During a training lightning has a handler of its own, which calls this one and lets the
        # block of steps end and be saved.
        if signal.getsignal(number) is stop:
            raise KeyboardInterrupt(signal.Signals(number).name)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    heard = [number for number in before if before[number] is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])


@contextmanager
def said(code: int) -> Iterator[None]:
    """Of a sweep that has ended by `code`, let the disk not refuse a second time in words."""
    try:
        yield
    except DiskError:
        if code:
            raise SystemExit(code) from None
        raise


def exit_code(stop: KeyboardInterrupt) -> int:
    """Of a process that a signal has ended, by what `stoppable` has made of it."""
    names = [number for number in signal.Signals if stop.args == (number.name,)]
    return 128 + (names[0] if names else signal.SIGINT)
