"""The command `fokker` as a module, for `python -m fokker` and `torchrun ... -m fokker`."""

import sys

from fokker.machine.signals import AT_START, SIGNALS, STOPS, exit_code


def main() -> None:
    """Run `fokker [overrides]`; a signal ends it with a message from the first import on."""
    SIGNALS.hear(AT_START)  # Signals are heard as long as the process lives.
    try:
        from fokker.cli.main import main as command
    except STOPS as stop:
        print("fokker: stopped before anything was begun", file=sys.stderr)
        raise SystemExit(exit_code(stop)) from None
    command()


if __name__ == "__main__":
    main()
