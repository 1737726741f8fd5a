"""Ending a sweep or a search in the middle."""

import sys
from collections.abc import Callable
from typing import TypeVar

from fokker.machine.disk import DiskError
from fokker.machine.signals import SIGNALS, exit_code

#: Told to who stops it when its jobs are done.
TABLES = "stopped when the tables were written, before all figures were drawn"

Outcome = TypeVar("Outcome")


def run_and_collect(run: Callable[[], None], collect: Callable[[], Outcome]) -> tuple[int, Outcome]:
    """Run, then collect whatever has ended it; the exit code, and what was collected."""
    code = 0
    with SIGNALS.held():  # Until the tables are written.
        try:
            with SIGNALS.raised():
                run()
        except (KeyboardInterrupt, SystemExit) as stop:
            code = exit_code(stop)
            SIGNALS.meet()
        except DiskError as error:
            print(f"fokker: {error}", file=sys.stderr)
            code = 1
        finally:
            try:
                outcome = collect()
            except DiskError:
                if code:  # The disk has refused before, in words.
                    raise SystemExit(code) from None
                raise
    return code, outcome
