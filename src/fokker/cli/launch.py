"""A run in several processes on this machine, each job in a process tree of its own."""

import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fokker.cli.choices import Choices
from fokker.cli.gpus import claim
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
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with tempfile.TemporaryDirectory(prefix="fokker-") as folder, _prepared(
        size, config.trainer.get("accelerator") != "cpu"
    ):
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
        agent = LaunchConfig(
            min_nodes=1, max_nodes=1, nproc_per_node=size, run_id=path.name, max_restarts=0,
            rdzv_backend="c10d", rdzv_endpoint="localhost:0", rdzv_configs={"is_host": True},
            local_addr="localhost", logs_specs=DefaultLogsSpecs(log_dir=folder),
            signals_to_handle=",".join(HANDED_ON),
        )  # fmt: skip
        try:
            elastic_launch(agent, sys.executable)(
                "-m", "fokker.cli.rank", str(file), str(os.getpid())
            )  # fmt: skip
        except SignalException as stop:
            raise SystemExit(128 + stop.sigval) from None
        except ChildFailedError as error:
            # Torch ends the others by SIGTERM; and one that has lost another ends by itself.
            killed = [
                (rank, failure)
                for rank, failure in error.failures.items()
                if failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM
            ]
            rank, first = killed[0] if killed else error.get_first_failure()
            if first.exitcode > 0:  # It has said why.
                raise SystemExit(first.exitcode) from None
            name = signal.Signals(-first.exitcode).name
            raise RankDied(
                f"rank {rank} of {size} was ended by {name}, and the others with it; the same "
                "command goes on from the last save, if there was one"
            ) from None
        answer = Path(folder) / "answer"
        return not answer.is_file() or bool(json.loads(answer.read_text()))


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
    for log in logs:
        log.setLevel(logging.CRITICAL + 1)
    if not os.environ.get("OMP_NUM_THREADS"):
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
