"""`python -m fokker`, and so `torchrun ... -m fokker`: the command `fokker`."""

import sys


def main() -> None:
    """Run `fokker [overrides]`; Ctrl-C has a sentence from the first import on."""
    try:
        from fokker.cli.main import main as command
    except KeyboardInterrupt:
        print("fokker: stopped before anything was begun", file=sys.stderr)
        raise SystemExit(130) from None
    command()


if __name__ == "__main__":
    main()
