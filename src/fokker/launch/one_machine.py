"""Torch's elastic agent for one machine: it starts the ranks of a run and watches them."""

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
        size: the number of ranks.
        folder: a folder that nobody else may enter.
        arguments: the arguments of Python, for each rank.
    Returns:
        the failures, by rank.
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

    Torch's own meetings open a port on all interfaces, without a password. Here nothing listens:
    the agent's notes stay in its memory, and its ranks meet at a file.
    """

    @property
    def use_agent_store(self) -> bool:
        """Tell whether ranks meet at a port of the agent's: they do not."""
        return False

    def get_backend(self) -> str:
        """Return a name for torch's log."""
        return "one_machine"

    def next_rendezvous(self) -> RendezvousInfo:
        """Return the agent's store, and for its ranks a port that does not exist."""
        return RendezvousInfo(HashStore(), 0, 1, RendezvousStoreInfo(LOOPBACK, 0))

    def is_closed(self) -> bool:
        """Tell whether agents may no longer join; False, for there is no other agent."""
        return False

    def set_closed(self) -> None:
        """Do nothing, since no other agent could join."""

    def num_nodes_waiting(self) -> int:
        """Return how many agents wait to join: none."""
        return 0

    def get_run_id(self) -> str:
        """Return a name for the ranks' environment."""
        return "fokker"

    def shutdown(self) -> bool:
        """Tell whether all is closed; True, for nothing was opened."""
        return True
