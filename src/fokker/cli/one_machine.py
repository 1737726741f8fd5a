"""How torch's elastic agent meets the agents of other machines where there is none."""

from typing import final

from torch._C._distributed_c10d import HashStore
from torch.distributed.elastic.rendezvous import (
    RendezvousHandler,
    RendezvousInfo,
    RendezvousStoreInfo,
)

from fokker.ranks import LOOPBACK


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
