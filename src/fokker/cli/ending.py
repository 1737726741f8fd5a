"""How a process ends: Ctrl-C has a sentence, and a rank goes at once."""

import atexit
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from fokker.cli.start import Start

STOPPED = "stopped; the same command makes the run anew, and keeps a model that is trained"


@contextmanager
def ending() -> Iterator[None]:
    """End with an exit code that says why.

    Raises:
        SystemExit: with 130 in place of KeyboardInterrupt.
    """
    # Ctrl-C would stop nothing by then, and end a finished run with an error.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    except KeyboardInterrupt as stop:
        if Start.here().rank == 0:
            print(f"fokker: {str(stop) or STOPPED}", file=sys.stderr)
        _end(128 + signal.SIGINT)
    except SystemExit as end:
        _end(end.code)
    except Exception:
        if not _has_met_others():
            raise
        traceback.print_exc()
        _end(1)
    if _has_met_others():
        _end(0)


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
