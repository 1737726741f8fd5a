"""Torch's elastic agent, which starts ranks and watches them, for those of one machine."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import final

from torch._C._distributed_c10d import HashStore
from torch.distributed.elastic.agent.server.api import WorkerSpec
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure
from torch.distributed.elastic.rendezvous import (
    RendezvousHandler,
    RendezvousInfo,
    RendezvousStoreInfo,
)

from fokker.machine.ranks import LOOPBACK, MEETING_FILE


def run_agent(size: int, folder: str, arguments: Sequence[str]) -> Mapping[int, ProcessFailure]:
    """Start the ranks of a run, which meet at a file in a folder, and wait for their end.

    Args:
        size: how many.
        folder: that nobody else may enter.
        arguments: of Python, for each of them.
    Returns:
        those that failed, by rank.
    Raises:
        SignalException: if this process was told to end; the ranks have ended.
    """
    os.environ[MEETING_FILE] = str(Path(folder) / "meeting")
    spec = WorkerSpec(
        role="rank", local_world_size=size, rdzv_handler=OneMachine(), entrypoint=sys.executable,
        args=tuple(arguments), max_restarts=0, monitor_interval=0.1,
    )  # fmt: skip
    done = LocalElasticAgent(spec, DefaultLogsSpecs(log_dir=folder)).run()
    return done.failures if done.is_failed() else {}


@final
class OneMachine(RendezvousHandler):
    """The meeting of one agent with itself.

    Those of torch's own open a port on all interfaces, without a password. Here nothing listens:
    what the agent notes stays in its memory, and its ranks meet elsewhere.
    """

    @property
    def use_agent_store(self) -> bool:
        """Whether ranks meet at a port of the agent's."""
        return False

    def get_backend(self) -> str:
        """Return a name for torch's log."""
        return "one_machine"

    def next_rendezvous(self) -> RendezvousInfo:
        """Return the agent's store, and to its ranks a port that there is not."""
        return RendezvousInfo(HashStore(), 0, 1, RendezvousStoreInfo(LOOPBACK, 0))

    def is_closed(self) -> bool:
        """Return whether no agent may join: there is no other."""
        return False

    def set_closed(self) -> None:
        """Do nothing, since nobody could come."""

    def num_nodes_waiting(self) -> int:
        """Return how many agents would join."""
        return 0

    def get_run_id(self) -> str:
        """Return a name for the ranks' environment."""
        return "fokker"

    def shutdown(self) -> bool:
        """Return whether all is closed, as it is."""
        return True
