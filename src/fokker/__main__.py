"""`python -m fokker`, and so `torchrun ... -m fokker`: the command `fokker`."""

from fokker.cli.main import main

if __name__ == "__main__":
    main()
