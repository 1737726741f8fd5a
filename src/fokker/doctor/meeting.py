"""The meeting of the ranks, and the speed of the network between them."""

import statistics
import sys
from collections.abc import Callable
from datetime import timedelta
from time import perf_counter

import torch
import torch.distributed as dist
from omegaconf import DictConfig

from fokker.doctor.table import Row, judged
from fokker.machine.ranks import ALONE, LostRank, Ranks, meeting_point, together
from fokker.machine.start import Start

# The longest time that one rank waits for another: none has other work to do.
PATIENCE = timedelta(seconds=45)
TIMES = 20
BYTES = 16 * 2**20
# On a network below 1 Gbit/s, to sum gradients takes longer than to compute them.
SLOW_BYTES = 1e8
REMEDY = (
    "start all of them by one command, on machines that reach each other's ports, and choose the "
    "network by GLOO_SOCKET_IFNAME or NCCL_SOCKET_IFNAME"
)


def meet(start: Start, trainer: DictConfig, patience: timedelta = PATIENCE) -> Ranks:
    """Connect the ranks that were started, whatever the configuration asks for.

    Raises:
        LostRank: if one of them does not come.
    """
    if start.size == 1:
        return ALONE
    start.say()
    # All ranks must use one backend, so that the configuration counts too.
    is_cuda = trainer.get("accelerator") != "cpu" and torch.cuda.is_available()
    if is_cuda:
        torch.cuda.set_device(start.local_rank % torch.cuda.device_count())
    seconds = patience.total_seconds()
    try:
        store, rank, size = meeting_point(patience)
        dist.init_process_group(
            "nccl" if is_cuda else "gloo", store=store, rank=rank, world_size=size, timeout=patience
        )
        return Ranks(dist.new_group(backend="gloo", timeout=patience))
    except (RuntimeError, OSError) as error:
        raise LostRank(
            f"the {start.size} ranks have not met within {seconds:g} s; {REMEDY} "
            f"({str(error).splitlines()[0][:100]})"
        ) from error


def meeting_row(ranks: Ranks) -> Row:
    """Make the row of the time that a small and a large sum take; all ranks call this."""
    backend = str(dist.get_backend())
    device = torch.device("cuda" if backend == "nccl" else "cpu")
    small, sums = torch.ones(1, device=device), []

    def sum_one() -> None:
        small.fill_(1)
        dist.all_reduce(small)
        sums.append(float(small))  # Waits for a GPU, too.

    large = torch.ones(BYTES // 4, device=device)

    def sum_many() -> None:
        dist.all_reduce(large)
        float(large[0])

    with together():
        sum_one()
        times = torch.tensor([_median(sum_one, TIMES), _median(sum_many, 3)], dtype=torch.float64)
    short, long = ranks.largest(times).tolist()
    are_right = all(value == ranks.size for value in sums)
    return judge_meeting(backend, ranks.size, short, BYTES / long, are_right)


def judge_meeting(
    backend: str, size: int, seconds: float, rate: float, are_right: bool = True
) -> Row:
    """Make the row of what was measured.

    Args:
        seconds: the time of a small sum.
        rate: the speed of a large sum, in bytes a second.
        are_right: whether the sums were right.
    """
    found = f"{size} ranks by {backend}: {1e6 * seconds:.0f} us a small sum, {rate / 1e9:.2g} GB/s"
    wrong = "" if are_right else (
        f"sums over the ranks are false, and so would gradients be; update or replace {backend}"
    )  # fmt: skip
    slow = "" if rate >= SLOW_BYTES else (
        f"gradients of a million parameters take {4e6 / rate:.2g} s a step; choose a faster "
        "network by GLOO_SOCKET_IFNAME or NCCL_SOCKET_IFNAME, or fewer machines"
    )  # fmt: skip
    return judged("meeting", found, wrong, slow)


def lost_row(start: Start, error: LostRank) -> Row:
    """Make the row of ranks that do not meet."""
    return judged("meeting", f"1 of {start.size} ranks", str(error))


def silent_row(start: Start, patience: timedelta = PATIENCE) -> Row:
    """Make the row of ranks that have met and do not answer any more."""
    return judged("ranks", f"fewer than the {start.size} that have met", (
        f"a rank has ended, or has been silent for {patience.total_seconds():g} s, after what is "
        "said above; its own output says why, or the log of its machine"
    ))  # fmt: skip


def leave(ranks: Ranks) -> None:
    """Leave the other ranks, also if they are lost."""
    try:
        ranks.leave()
    except RuntimeError as error:
        print(f"warning: {error}", file=sys.stderr)


def _median(work: Callable[[], None], times: int) -> float:
    """Return the median time of some work, in seconds."""
    seconds = []
    for _ in range(times):
        begun = perf_counter()
        work()
        seconds.append(perf_counter() - begun)
    return statistics.median(seconds)
