"""One rank of a run that `fokker.launch.launch` has started.

`python -m fokker.cli.rank JOB PROCESS`, where the process is the one that waits for the ranks.
"""

import os
import signal
import sys
from pathlib import Path
from shutil import rmtree

from fokker.machine.orphans import end_with, end_with_sweep, is_alive


def main() -> None:
    """Carry out a job as one of its ranks, or examine it."""
    # Before the slow imports. Ctrl-C ends this rank at once, for there is nothing to save yet. When
    # the waiting process ends, this rank saves and ends too.
    signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
    file, waiting = Path(sys.argv[1]), sys.argv[2]
    end_with(waiting)
    end_with_sweep()
    from fokker.machine.ending import ending
    from fokker.machine.output import patient_output

    with patient_output(), ending():
        try:
            _carry_out(file)
        finally:
            if not is_alive(waiting):  # So it cannot clean up.
                rmtree(file.parent, ignore_errors=True)


def _carry_out(file: Path) -> None:
    import json

    from hydra.conf import ConfigSourceInfo
    from omegaconf import DictConfig, OmegaConf

    from fokker.cli.main import as_rank
    from fokker.config.choices import Choices
    from fokker.config.compose import register_resolvers
    from fokker.machine.files import read_json

    signal.signal(signal.SIGINT, signal.default_int_handler)
    job = read_json(file)
    sys.path[:] = job["search"]
    register_resolvers()
    config = OmegaConf.create(job["config"])
    if not isinstance(config, DictConfig):
        raise ValueError(f"{file} does not hold a job of fokker's")
    sources = [ConfigSourceInfo(*source) for source in job["sources"]]
    choices = Choices(job["options"], sources, job["overrides"])
    answer: bool | None
    if job["path"] is None:
        from fokker.doctor.examine import examine
        from fokker.doctor.launched import Launch
        from fokker.machine.start import Start

        answer = examine(config, choices, Launch(Start.here(), is_own=True))
    else:
        answer = as_rank(config, choices, Path(job["path"]), job["in_sweep"])
    if answer is not None and os.environ["RANK"] == "0":
        text = json.dumps({"answer": answer})
        (file.parent / "answer.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
