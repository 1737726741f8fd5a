"""The processes that carry out one run together; a run in one process is the case of size 1.

Nearly everything here goes over the CPU, by gloo, even where gradients go by NCCL: then a process
that dies is noticed at once, since its connections break. Messages are not encrypted, and some are
pickled, so the processes of a single machine listen only on its loopback.
"""

import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, final

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import FileStore, Store, TCPStore
from torch.distributed.rendezvous import rendezvous

T = TypeVar("T")

# The longest that a process waits for another to begin, and later, when the other may be saving.
MEETING = timedelta(minutes=5)
PATIENCE = timedelta(minutes=30)
# The variable that names the file, in a private folder, at which ranks of one machine meet.
MEETING_FILE = "FOKKER_MEETING"
LOOPBACK = "127.0.0.1"


class LostRank(RuntimeError):
    """An error that says that another process of the run does not answer any more."""


@contextmanager
def together() -> Iterator[None]:
    """Turn torch's error of a broken connection in the block into one sentence.

    Raises:
        LostRank: in place of torch's error.
    """
    try:
        yield
    except LostRank:
        raise
    except RuntimeError as error:
        if not re.search("gloo|nccl|connection|socket|peer", str(error), re.IGNORECASE):
            raise
        raise LostRank(
            "another rank of this run has ended, or its connection has; the same command goes on "
            "from the last save, if there was one"
        ) from error


def _meet(patience: timedelta) -> tuple[Store, int, int]:
    """Wait until all processes have begun; return their store, the own rank and the size.

    Raises:
        LostRank: if one of them does not begin.
    """
    try:
        store, rank, size = meeting_point(patience)
        store.set(f"fokker/{rank}", "here")
        store.wait([f"fokker/{other}" for other in range(size)], patience)
        return store, rank, size
    except (RuntimeError, OSError) as error:
        raise LostRank(
            f"not all {os.environ['WORLD_SIZE']} ranks have begun within "
            f"{patience.total_seconds():g} s; start all by one command, on machines that reach "
            f"each other's ports ({str(error).splitlines()[0][:100]})"
        ) from error


def meeting_point(patience: timedelta) -> tuple[Store, int, int]:
    """Return the store at which the ranks find each other, the own rank and the size.

    Ranks that fokker has started meet at the file that `MEETING_FILE` names. Others meet at the
    store of torchrun's agent, or of the first rank at MASTER_PORT. If all are on one machine,
    nothing that is opened here listens on another address than its loopback.

    Args:
        patience: the longest that one of them waits for another.
    Raises:
        RuntimeError: if torch cannot connect them.
        OSError: if another process has the port.
        ValueError: for a variable that is not as torchrun sets it.
    """
    rank, size = told("RANK"), told("WORLD_SIZE")
    is_here = told("LOCAL_WORLD_SIZE") == size
    if is_here:
        _stay_inside()
    if is_here and (file := os.environ.get(MEETING_FILE)):
        private = FileStore(file, size)
        private.set_timeout(patience)
        return private, rank, size
    if not is_here or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        found: tuple[Store, int, int] = next(rendezvous("env://", timeout=patience))
        return found
    # The socket is bound here since torch would listen on all interfaces.
    port, listener = told("MASTER_PORT"), None
    if rank == 0:
        with socket.socket() as bound:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((LOOPBACK, port))
            bound.listen(size)
            listener = bound.detach()  # The store closes it.
    store = TCPStore(LOOPBACK, port, size, rank == 0, patience, master_listen_fd=listener)
    return store, rank, size


def told(name: str) -> int:
    """Return a whole number from the environment that the starter of the ranks has set.

    Raises:
        ValueError: if it is not there.
    """
    text = os.environ.get(name, "").strip()
    if not text.isdecimal():
        raise ValueError(
            f"{name} in the environment must be a whole number for one of several ranks, got "
            f"{text or 'nothing'}; start all of them by torchrun or srun, or by fokker trainer=ddp"
        )
    return int(text)


def _stay_inside() -> None:
    """Let gloo and NCCL listen only on this machine's loopback."""
    for _, name in socket.if_nameindex():
        if re.fullmatch(r"lo\d*", name):
            os.environ.update(GLOO_SOCKET_IFNAME=name, NCCL_SOCKET_IFNAME=name)
            return


@final
class Ranks:
    """The processes of a run, with ranks from 0 to size - 1; all make the same calls in one order.

    Args:
        group: the group of torch.distributed; null: one process, which does everything.
    """

    def __init__(self, group: "dist.ProcessGroup | None" = None) -> None:
        self._group = group
        self.rank = 0 if group is None else dist.get_rank(group)
        self.size = 1 if group is None else dist.get_world_size(group)
        #: The rank and the size among the processes on this machine.
        self.local_rank = 0 if group is None else told("LOCAL_RANK")
        self.local_size = 1 if group is None else told("LOCAL_WORLD_SIZE")

    @classmethod
    def join(cls, device_type: str = "cpu") -> "Ranks":
        """Join the processes given by RANK, WORLD_SIZE, MASTER_ADDR and others, as by torchrun.

        Args:
            device_type: the type of device of the gradients: `cuda` uses NCCL, others gloo.
        """
        if not dist.is_initialized():
            backend = "nccl" if device_type == "cuda" else "gloo"
            store, rank, size = _meet(MEETING)
            dist.init_process_group(
                backend, store=store, rank=rank, world_size=size, timeout=PATIENCE
            )
        return cls(dist.new_group(backend="gloo", timeout=PATIENCE))

    def leave(self) -> None:
        """Leave the group; the others may still be at work."""
        if self._group is not None:
            dist.destroy_process_group()

    @property
    def is_first(self) -> bool:
        """Return whether this process is the one that writes files and prints."""
        return self.rank == 0

    def share(self, count: int, unit: int = 1) -> range:
        """Return this process's share of range(count), in whole units; shares are about equal."""
        return self.share_of(self.rank, count, unit)

    def share_of(self, rank: int, count: int, unit: int = 1) -> range:
        """Return a rank's share of range(count); no share is larger than that of rank 0."""
        units = -(-count // unit)
        first, last = (min(-(-units * r // self.size) * unit, count) for r in (rank, rank + 1))
        return range(first, last)

    def first_says(self, decide: Callable[[], T]) -> T:
        """Return in all processes what `decide` returns in the first, the only one that calls it.

        An error there is raised in all.
        """
        if self._group is None:
            return decide()
        said: list[Any] = [None, None]
        if self.is_first:
            try:
                said[0] = decide()
            except Exception as error:
                said[1] = error
        with together():
            dist.broadcast_object_list(said, src=0, group=self._group, device=torch.device("cpu"))
        if said[1] is not None:
            raise said[1]
        found: T = said[0]
        return found

    def total(self, part: Tensor) -> Tensor:
        """Return the sum over all processes."""
        return self._reduced(part, dist.ReduceOp.SUM)

    def total_there(self, part: Tensor) -> Tensor:
        """Return the sum over all processes, by the group that also sums gradients.

        Between GPUs that is NCCL: the sum stays on the device, and the host does not wait for it.
        """
        if self._group is None:
            return part
        whole = part.detach().clone()
        with together():
            dist.all_reduce(whole)
        return whole

    def largest(self, part: Tensor) -> Tensor:
        """Return the maximum over all processes, element by element."""
        return self._reduced(part, dist.ReduceOp.MAX)

    def _reduced(self, part: Tensor, op: "dist.ReduceOp.RedOpType") -> Tensor:
        if self._group is None:
            return part
        whole = part.detach().cpu().clone()
        with together():
            dist.all_reduce(whole, op, group=self._group)
        return whole.to(part.device)

    def collected(self, value: T) -> list[T]:
        """Return the values of all processes, in the order of their ranks."""
        if self._group is None:
            return [value]
        values: list[Any] = [None] * self.size
        with together():
            dist.all_gather_object(values, value, group=self._group)
        return values

    def joined(self, part: Tensor, count: int, unit: int = 1) -> Tensor:
        """Return the rows of all shares in order, (count, ...), in the first process, else `part`.

        Args:
            part: the rows of this process's share, on the CPU.
            count: the number of rows in all.
            unit: the unit of the shares, as in `share`.
        """
        if self._group is None:
            return part
        if not self.is_first:
            if len(part):
                with together():
                    dist.send(part.contiguous(), dst=0, group=self._group)
            return part
        whole = part.new_empty(count, *part.shape[1:])
        whole[: len(part)] = part
        for rank in range(1, self.size):
            share = self.share_of(rank, count, unit)
            if share:
                with together():
                    dist.recv(whole[share.start : share.stop], src=rank, group=self._group)
        return whole


#: The ranks of a run in one process.
ALONE = Ranks()


def local(tensor: Tensor) -> Tensor:
    """Return the part of a tensor that this rank has; all of one that is not spread."""
    part: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return part


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor that may be spread, in every rank."""
    full: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full


def spread_like(place: Tensor, full: Tensor) -> None:
    """Copy a whole tensor into one that may be spread."""
    if not hasattr(place, "to_local"):
        place.copy_(full)
        return
    from torch.distributed.tensor import DTensor, distribute_tensor

    spread: DTensor = place  # type: ignore[assignment]
    here = distribute_tensor(full.to(place.device), spread.device_mesh, spread.placements)
    spread.to_local().copy_(here.to_local())
