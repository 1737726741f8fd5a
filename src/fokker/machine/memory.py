"""The memory that there is, and a check of numbers that need more than all of it."""

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

#: The bytes of a number in float64, and of one in float32.
DOUBLE, SINGLE = 8, 4
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
#: The files of a control group with its limit, in version 2 and in version 1 of control groups.
_LIMITS = ("memory.max", "memory.limit_in_bytes")


def whole_memory(root: Path = Path("/")) -> int:
    """Return the most bytes that this process can have.

    That is the memory of the machine with its swap, or less where a control group (of a container
    or a SLURM job) or `ulimit -v` allows less. Memory that is in use now is not subtracted.

    Args:
        root: the root of the file system, with /proc and /sys.
    """
    return min(_limits(root), default=2**63 - 1)


def _limits(root: Path) -> Iterator[int]:
    with suppress(OSError, ValueError):
        lines = (root / "proc/meminfo").read_text().splitlines()
        known = {key: int(rest.split()[0]) for key, _, rest in (s.partition(":") for s in lines)}
        yield 1024 * (known["MemTotal"] + known.get("SwapTotal", 0))
    if not (root / "proc/meminfo").is_file():
        with suppress(OSError, ValueError):
            yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        yield soft
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, below = line.split(":", 2)
            top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
            if controllers and "memory" not in controllers.split(","):
                continue
            group = top / below.lstrip("/")
            for folder in (group, *group.parents):
                for name in _LIMITS:
                    with suppress(OSError, ValueError):  # "max" is no limit.
                        yield int((folder / name).read_text())
                if folder == top:
                    break


def amount(size: float) -> str:
    """Format a number of bytes, for instance `25.2 GB`."""
    for unit in _UNITS:
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.1e} {_UNITS[-1]}"


def check_fits(
    name: str,
    value: int,
    size: float,
    of: str = "",
    whole: int | None = None,
    where: str = "this machine's memory",
) -> None:
    """Refuse a value that by itself needs more memory than there is.

    Args:
        name: the name of the parameter or key.
        value: the value of it.
        size: the bytes that are certainly needed for the value.
        of: the content of these bytes, for the message.
        whole: the bytes that there are; null: those that this process can have.
        where: the owner of the memory, for the message.
    Raises:
        ValueError: if it does not fit; it says what there is, and what would be needed.
    """
    whole = whole_memory() if whole is None else whole
    if size > whole:
        raise ValueError(
            f"{name} must fit into {where} of {amount(whole)}, and {value:,} needs at least "
            f"{amount(size)}{f' for {of}' if of else ''}; make it smaller"
        )
