"""One rank of a run that `fokker.cli.launch` has started: `python -m fokker.cli.rank JOB PID`."""

import ctypes
import os
import signal
import sys
from contextlib import suppress

# First of all: end at Ctrl-C, for there is nothing to save yet, and end, and save, with the process
# that waits, which may end at any time (Linux).
with suppress(OSError, AttributeError):
    signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if sys.argv[2:] and os.getppid() != int(sys.argv[2]):
        raise SystemExit(128 + signal.SIGTERM)

import json
from pathlib import Path

from hydra.conf import ConfigSourceInfo
from omegaconf import DictConfig, OmegaConf

from fokker.cli.compose import register_resolvers
from fokker.cli.ending import ending
from fokker.cli.output import patient_output


def main() -> None:
    """Carry out a job as one of its ranks."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with patient_output(), ending():
        file = Path(sys.argv[1])
        job = json.loads(file.read_text(encoding="utf-8"))
        sys.path[:] = job["search"]
        register_resolvers()
        from fokker.cli.choices import Choices
        from fokker.cli.main import as_rank

        config = OmegaConf.create(job["config"])
        if not isinstance(config, DictConfig):
            raise ValueError(f"{file} does not hold a job of fokker's")
        sources = [ConfigSourceInfo(*source) for source in job["sources"]]
        choices = Choices(job["options"], sources, job["overrides"])
        was_run = as_rank(config, choices, Path(job["path"]), job["in_sweep"])
        if was_run is not None and os.environ["RANK"] == "0":
            (file.parent / "answer").write_text(json.dumps(was_run), encoding="utf-8")


if __name__ == "__main__":
    main()
