"""Ending a sweep or a search in the middle."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM ends a sweep as ctrl-C does: what is done is collected."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        # During a training lightning has a handler of its own, which calls this one and lets the
        # block of steps end and be saved.
        if signal.getsignal(signal.SIGTERM) is stop:
            raise KeyboardInterrupt(signal.Signals(number).name)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
