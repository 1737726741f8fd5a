"""How a process ends: Ctrl-C has a sentence, and a rank goes at once."""

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
    """End with an exit code that says why; a signal is said, whatever has become of it.

    Raises:
        SystemExit: with 128 and the signal's number after a signal, in place of what it has become.
    """
    # They would stop nothing by then, and end a finished run with an error.
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
    """Of ranks at once: torch aborts one whose threads are in the middle of a sum as it ends, and
    that would be taken for the reason."""
    if not _has_met_others():
        raise SystemExit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(bool(code)))


def _has_met_others() -> bool:
    """Whether torch connects this process with others; it is not imported to learn that."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and distributed.is_initialized()
