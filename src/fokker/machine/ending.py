"""The end of a process: a signal is reported in a sentence, and a rank exits at once."""

import atexit
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from fokker.machine.signals import ANEW, AT_START, SIGNALS, STOPS, exit_code
from fokker.machine.start import Start


@contextmanager
def ending() -> Iterator[None]:
    """End the process after the block with an exit code that says why.

    A signal is reported to the user even if the exception that it raised was swallowed or replaced.

    Raises:
        SystemExit: with 128 plus the signal's number after a signal, also in place of an error that
            the signal has caused.
    """
    # At exit a signal would stop nothing any more, and would end a finished run with an error.
    for number in AT_START:
        atexit.register(signal.signal, number, signal.SIG_IGN)
    code: str | int | None = 0
    has_ended = True
    with SIGNALS.heard(AT_START):
        try:
            try:
                with SIGNALS.raised():
                    yield
                has_ended = _has_met_others()
            finally:
                SIGNALS.end()
        except STOPS as stop:
            code = exit_code(stop)
            if Start.here().rank == 0:
                print(f"fokker: {str(stop) or ANEW}", file=sys.stderr)
        except SystemExit as end:
            code = end.code
        except Exception:
            if not _has_met_others():
                raise
            traceback.print_exc()
            code = 1
        if has_ended:
            _end(code)


def _end(code: str | int | None) -> NoReturn:
    """End this process, without python's cleanup if it is one of several ranks.

    In that cleanup torch aborts a rank whose threads are in the middle of a sum, and the abort
    would be taken for the reason of the end.
    """
    if not _has_met_others():
        raise SystemExit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(bool(code)))


def _has_met_others() -> bool:
    """Tell whether torch connects this process with others, without importing torch for it."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and distributed.is_initialized()
