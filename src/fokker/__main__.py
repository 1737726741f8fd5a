"""`python -m fokker`, and so `torchrun ... -m fokker`: the command `fokker`."""

import sys

from fokker.machine.signals import AT_START, SIGNALS, STOPS, exit_code


def main() -> None:
    """Run `fokker [overrides]`; what ends it has a sentence from the first import on."""
    SIGNALS.hear(AT_START)  # For as long as the process lives.
    try:
        from fokker.cli.main import main as command
    except STOPS as stop:
        print("fokker: stopped before anything was begun", file=sys.stderr)
        raise SystemExit(exit_code(stop)) from None
    command()


if __name__ == "__main__":
    main()
