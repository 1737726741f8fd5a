"""The end of a sweep or a search that is stopped in the middle."""

import sys
from collections.abc import Callable
from typing import TypeVar

from fokker.machine.disk import DiskError
from fokker.machine.signals import SIGNALS, exit_code

#: The message to a user who stops it after its jobs are done.
TABLES = "stopped when the tables were written, before all figures were drawn"

Outcome = TypeVar("Outcome")


def run_and_collect(run: Callable[[], None], collect: Callable[[], Outcome]) -> tuple[int, Outcome]:
    """Run, collect the results however the run ended, and return the exit code and the results."""
    code = 0
    with SIGNALS.held():  # A signal must not stop `collect`, which writes the tables.
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
                if code:  # The first reason for the end is kept.
                    raise SystemExit(code) from None
                raise
    return code, outcome
