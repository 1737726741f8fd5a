"""Which GPUs a job has, where several jobs run at once on a machine."""

import atexit
import errno
import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

from fokker.machine.disk import DiskError, writing
from fokker.machine.folders import own_folder

DRIVER = Path("/proc/driver/nvidia/gpus")
VISIBLE = "CUDA_VISIBLE_DEVICES"


def claim(
    count: int,
    env: MutableMapping[str, str] = os.environ,
    driver: Path = DRIVER,
    folder: Path | None = None,
) -> None:
    """Let this process see `count` GPUs that no other run of this machine has claimed.

    They are its own until it ends. What is missing is shared with others, with a warning. Where no
    more than these are to be seen, as in a scheduler's job, there is nothing to claim. To be called
    before torch looks for GPUs.

    Args:
        count: of GPUs.
        env: where CUDA_VISIBLE_DEVICES is read and set.
        driver: a folder with an entry for each GPU.
        folder: of the locks; null: the user's own on this machine.
    Raises:
        DiskError: if a lock's file cannot be one, as where a link has its name.
    """
    count_all = len(list(driver.iterdir())) if driver.is_dir() else 0
    known = [str(number) for number in range(count_all)]
    visible = env[VISIBLE].split(",") if VISIBLE in env else known
    if len(visible) <= count:
        return
    mine: list[str] = []
    for name in visible:
        if len(mine) == count:
            break
        if _take((folder or own_folder()) / f"gpu-{name}.lock"):
            mine.append(name)
    if len(mine) < count:
        rest = [name for name in visible if name not in mine]
        shared = [rest[(os.getpid() + i) % len(rest)] for i in range(count - len(mine))]
        print(f"warning: GPU {', '.join(shared)} is shared with another run", file=sys.stderr)
        mine += list(dict.fromkeys(shared))
    env[VISIBLE] = ",".join(mine)


def _take(place: Path) -> bool:
    """Take a lock for as long as the process lives; whether nobody else has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(place, mode=0o600, thread_local=False, fallback_to_soft=False)
    try:
        with writing(place):
            lock.acquire(timeout=0)
    except Timeout:
        return False
    except DiskError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):  # No locks there.
            return False
        raise
    # A lock that nothing refers to is given back; the system does so if the process is killed.
    atexit.register(lock.release)
    return True
