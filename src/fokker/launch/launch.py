"""A run in several processes on this machine, each job in a process tree of its own."""

import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from omegaconf import DictConfig, OmegaConf

from fokker.config.choices import Choices
from fokker.machine.environment import number
from fokker.machine.files import read_json
from fokker.machine.gpus import claim
from fokker.machine.orphans import this_process
from fokker.machine.start import cores

# Signals that are handed on to the ranks, which then save their work.
HANDED_ON = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2")


class RankDied(RuntimeError):
    """The end of a rank by a signal that left it no time to say why."""


def launch(
    config: DictConfig, choices: Choices, path: Path | None, size: int, in_sweep: bool = False
) -> bool:
    """Carry out a job by `size` ranks, which torch's elastic agent starts and watches.

    The ranks get the configuration as it was composed here.

    Args:
        config: the job's configuration.
        choices: the options that it chooses.
        path: the run's folder; None: nothing is run, and the ranks examine themselves.
        size: the number of ranks.
        in_sweep: whether it is a job of a sweep.
    Returns:
        whether the job was run; False if another process of a sweep runs it. For ranks that examine
        themselves, whether nothing would go wrong.
    Raises:
        SystemExit: with the exit code of the rank that failed first.
        RankDied: if a rank was killed; the others have ended too.
    """
    # Imported before `_prepared`, which silences the logs that these modules create.
    from torch.distributed.elastic.multiprocessing import SignalException

    from fokker.launch.one_machine import run_agent

    needs_gpus = config.trainer.get("accelerator") != "cpu"
    # The folder is private (mode 0700), and new for each start.
    with _prepared(size, needs_gpus), tempfile.TemporaryDirectory(prefix="fokker-") as folder:
        file = Path(folder) / "job.json"
        job = {
            "config": OmegaConf.to_yaml(config),
            "options": dict(choices.options),
            "sources": [[s.path, s.schema, s.provider] for s in choices.sources],
            "overrides": list(choices.overrides),
            "path": None if path is None else str(path.resolve()),
            "in_sweep": in_sweep,
            "search": sys.path,
        }
        file.write_text(json.dumps(job), encoding="utf-8")
        try:
            failures = run_agent(size, folder, ["-m", "fokker.cli.rank", str(file), this_process()])
        except SignalException as stop:
            raise SystemExit(128 + stop.sigval) from None
        _check_end(failures, size)
        return bool(read_json(Path(folder) / "answer.json").get("answer", True))


def _check_end(failures: Mapping[int, Any], size: int) -> None:
    """Raise for the rank whose end has ended the others, from torch's failures by rank."""
    if not failures:
        return
    # Torch ends the others by SIGTERM, and a rank that has lost another one ends by itself.
    killed = [
        (rank, failure)
        for rank, failure in failures.items()
        if failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM
    ]
    earliest = min(failures.items(), key=lambda item: item[1].timestamp)
    rank, first = killed[0] if killed else earliest
    if first.exitcode > 0:  # This rank has said why.
        raise SystemExit(first.exitcode)
    raise RankDied(
        f"rank {rank} of {size} was ended by {signal.Signals(-first.exitcode).name}, and the "
        "others with it; the same command goes on from the last save, if there was one"
    )


@contextmanager
def _prepared(size: int, needs_gpus: bool) -> Iterator[None]:
    """Silence the agent's log, set each rank's share of the cores, and restore all afterwards."""
    handlers: dict[Any, Any] = {name: signal.getsignal(getattr(signal, name)) for name in HANDED_ON}
    # Each module of torch has a logger with a threshold of its own.
    names = [n for n in logging.root.manager.loggerDict if n.startswith("torch.distributed")]
    logs = {log: log.level for log in map(logging.getLogger, names)}
    if needs_gpus:
        claim(size)
    if handlers["SIGTERM"] is signal.SIG_DFL:  # The agent handles it only later.
        signal.signal(signal.SIGTERM, _stop)
    environment = dict(os.environ)
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = ",".join(HANDED_ON)
    for log in logs:
        log.setLevel(logging.CRITICAL + 1)
    if not number(os.environ, "OMP_NUM_THREADS", 0):
        os.environ["OMP_NUM_THREADS"] = str(max(1, cores() // size))
    try:
        yield
    finally:
        for log, level in logs.items():
            log.setLevel(level)
        os.environ.clear()
        os.environ.update(environment)
        for name, handler in handlers.items():
            signal.signal(getattr(signal, name), handler)


def _stop(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)
