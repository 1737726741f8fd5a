"""The facts of each rank, and the rows that compare them."""

import os
import platform
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from omegaconf import DictConfig

from fokker.config.build_task import find_device
from fokker.doctor.table import Row, judged
from fokker.machine.start import Start, cores, cores_of_rank
from fokker.store.identity import versions

GB = 2**30


@final
@dataclass(frozen=True)
class Facts:
    """The facts of one rank.

    Attributes:
        host: the machine, by the scheduler's name if there is one.
        versions: the versions of python and of packages.
        device: `cpu`, `cuda:0`, ...; empty: there is none, and `lack` says why.
        name: the name of the device.
        memory: the memory of the device, in bytes.
        serial: the id that tells GPUs apart.
        cores: the numbers of the cores that it may use.
        threads: the largest number of threads that it computes with.
    """

    host: str
    versions: Mapping[str, str]
    device: str
    lack: str
    name: str
    memory: int
    serial: str
    cores: frozenset[int]
    threads: int


def facts_here(trainer: DictConfig, start: Start, env: Mapping[str, str] = os.environ) -> Facts:
    """Collect the facts of this process."""
    device, lack = "cpu", ""
    try:
        device = find_device(trainer.get("accelerator", "auto")).type
    except ValueError as error:
        device, lack = "", str(error)
    name, memory, serial = _processor(), _memory(), ""
    if device == "cuda":
        index = start.local_rank % torch.cuda.device_count()
        properties = torch.cuda.get_device_properties(index)
        name, memory, device = properties.name, properties.total_memory, f"cuda:{index}"
        serial = str(getattr(properties, "uuid", index))
    own = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(cores())
    threads = torch.get_num_threads()
    if not env.get("OMP_NUM_THREADS"):  # A run shares them out like this.
        threads = min(threads, cores_of_rank(start.local_size))
    host = env.get("SLURMD_NODENAME") or socket.gethostname()
    return Facts(host, versions(), device, lack, name, memory, serial, frozenset(own), threads)


def _processor() -> str:
    """Return the name of the processor."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> int:
    """Return the memory of the machine, in bytes; 0 if it is not known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


def versions_row(facts: Sequence[Facts]) -> Row:
    """Make the row of the versions, which must be the same in all ranks."""
    first = facts[0].versions
    wrong = next(
        (
            f"all ranks must have one {name}, and rank {rank} has {fact.versions.get(name)} where "
            f"rank 0 has {first[name]}; start all of them from one environment"
            for rank, fact in enumerate(facts)
            for name in first
            if fact.versions.get(name) != first[name]
        ),
        "",
    )
    shown = [f"{name} {version}" for name, version in first.items() if name != "training"]
    return judged("versions", ", ".join(shown), wrong)


def devices_row(facts: Sequence[Facts]) -> Row:
    """Make the row of the devices, and whether they are enough for all ranks."""
    kinds: dict[tuple[str, str, int, int], list[int]] = {}
    for rank, fact in enumerate(facts):
        kind = (fact.device.partition(":")[0] or "none", fact.name, fact.memory, fact.threads)
        kinds.setdefault(kind, []).append(rank)
    texts = [
        f"{_of(ranks, len(facts))}{device} ({name}, {memory / GB:.3g} GB), {threads} thread"
        f"{'s' * (threads != 1)}"
        for (device, name, memory, threads), ranks in kinds.items()
    ]
    found = f"{'; '.join(texts)}; {_cores(facts)}"
    return judged("devices", found, _lack(facts), _crowd(facts, len({k[1] for k in kinds})))


def _of(ranks: Sequence[int], size: int) -> str:
    """Name the ranks that a text is about; empty if there is only one."""
    if size == 1:
        return ""
    if len(ranks) == size:
        return "each rank: "
    shown = ", ".join(map(str, ranks[:4])) + (", ..." if len(ranks) > 4 else "")
    return f"rank{'s' * (len(ranks) > 1)} {shown}: "


def _hosts(facts: Sequence[Facts]) -> dict[str, list[Facts]]:
    """Return the ranks of each machine."""
    hosts: dict[str, list[Facts]] = {}
    for fact in facts:
        hosts.setdefault(fact.host, []).append(fact)
    return hosts


def _cores(facts: Sequence[Facts]) -> str:
    """Describe how many cores the ranks of a machine have together."""
    counts = {len(frozenset().union(*(f.cores for f in own))) for own in _hosts(facts).values()}
    count = "-".join(str(count) for count in sorted({min(counts), max(counts)}))
    return f"{count} core{'s' * (count != '1')}{' a machine' if len(_hosts(facts)) > 1 else ''}"


def _lack(facts: Sequence[Facts]) -> str:
    """Describe what a rank lacks to compute; empty if nothing."""
    owners: dict[tuple[str, str], int] = {}
    for rank, fact in enumerate(facts):
        if fact.lack:
            return fact.lack if len(facts) == 1 else f"rank {rank} has no device: {fact.lack}"
        if fact.serial:
            other = owners.setdefault((fact.host, fact.serial), rank)
            if other != rank:
                return (
                    f"ranks {other} and {rank} have the same GPU, which NCCL refuses; ask for a "
                    "GPU a rank: --gpus-per-node"
                )
    return ""


def _crowd(facts: Sequence[Facts], names: int) -> str:
    """Describe what makes the ranks slow; empty if nothing."""
    for host, own in _hosts(facts).items():
        threads = sum(f.threads for f in own)
        count = len(frozenset().union(*(f.cores for f in own)))
        if threads > count:
            share = max(1, count // len(own))
            remedies = [f"set OMP_NUM_THREADS={share}"] * (threads > len(own) * share)
            remedies += [f"start at most {count} ranks"] * (len(own) > count)
            return (
                f"{threads} threads of {len(own)} rank{'s' * (len(own) > 1)} share {count} core"
                f"{'s' * (count > 1)} on {host} and wait for each other; {' and '.join(remedies)}"
            )
    if names > 1:
        return "the ranks have different devices, and the slowest sets the pace of all"
    return ""
