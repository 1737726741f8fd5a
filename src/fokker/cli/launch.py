"""A run in several processes on this machine, each job in a process tree of its own."""

import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fokker.cli.choices import Choices
from fokker.cli.environment import number
from fokker.cli.gpus import claim
from fokker.cli.orphans import this_process
from fokker.cli.start import cores

# Handed on to the ranks, which save what is done.
HANDED_ON = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2")


class RankDied(RuntimeError):
    """A rank that ended without a word, by a signal that it cannot hear."""


def launch(
    config: DictConfig, choices: Choices, path: Path, size: int, in_sweep: bool = False
) -> bool:
    """Carry out a job by `size` ranks, which torch's elastic agent starts and watches.

    The ranks get the configuration as it was composed here.

    Returns:
        whether it was run; not if another process of a sweep runs it.
    Raises:
        SystemExit: with the exit code of the rank that failed first.
        RankDied: if a rank was killed; the others have ended too.
    """
    needs_gpus = config.trainer.get("accelerator") != "cpu"
    # Private (mode 0700), and another one for each start.
    with tempfile.TemporaryDirectory(prefix="fokker-") as folder, _prepared(size, needs_gpus):
        file = Path(folder) / "job.json"
        job = {
            "config": OmegaConf.to_yaml(config),
            "options": dict(choices.options),
            "sources": [[s.path, s.schema, s.provider] for s in choices.sources],
            "overrides": list(choices.overrides),
            "path": str(path.resolve()),
            "in_sweep": in_sweep,
            "search": sys.path,
        }
        file.write_text(json.dumps(job), encoding="utf-8")
        _run_ranks(size, folder, [str(file), this_process()])
        answer = Path(folder) / "answer"
        return not answer.is_file() or bool(json.loads(answer.read_text()))


def _run_ranks(size: int, folder: str, arguments: Sequence[str]) -> None:
    """Let torch's agent start the ranks, and wait for their end."""
    from torch.distributed.elastic.agent.server.api import WorkerSpec
    from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException

    from fokker.cli.one_machine import OneMachine
    from fokker.ranks import MEETING_FILE

    os.environ[MEETING_FILE] = str(Path(folder) / "meeting")
    spec = WorkerSpec(
        role="rank", local_world_size=size, rdzv_handler=OneMachine(), entrypoint=sys.executable,
        args=("-m", "fokker.cli.rank", *arguments), max_restarts=0, monitor_interval=0.1,
    )  # fmt: skip
    try:
        done = LocalElasticAgent(spec, DefaultLogsSpecs(log_dir=folder)).run()
    except SignalException as stop:
        raise SystemExit(128 + stop.sigval) from None
    if not done.is_failed():
        return
    # Torch ends the others by SIGTERM; and one that has lost another ends by itself.
    killed = [
        (rank, failure)
        for rank, failure in done.failures.items()
        if failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM
    ]
    earliest = min(done.failures.items(), key=lambda item: item[1].timestamp)
    rank, first = killed[0] if killed else earliest
    if first.exitcode > 0:  # It has said why.
        raise SystemExit(first.exitcode)
    raise RankDied(
        f"rank {rank} of {size} was ended by {signal.Signals(-first.exitcode).name}, and the "
        "others with it; the same command goes on from the last save, if there was one"
    )


@contextmanager
def _prepared(size: int, needs_gpus: bool) -> Iterator[None]:
    """The agent without its log, each rank with its share of the cores, signals as they were."""
    handlers: dict[Any, Any] = {name: signal.getsignal(getattr(signal, name)) for name in HANDED_ON}
    # Each module of torch's has a log with a level of its own.
    names = [n for n in logging.root.manager.loggerDict if n.startswith("torch.distributed")]
    logs = {log: log.level for log in map(logging.getLogger, names)}
    if needs_gpus:
        claim(size)
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
