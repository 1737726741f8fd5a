"""The choice of GPUs for a job where several jobs run at once on a machine."""

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

    They stay claimed until the process ends. If too few are free, others are shared, with a
    warning. Nothing is claimed where no more than `count` are visible, as in a scheduler's job. The
    call must come before torch looks for GPUs.

    Args:
        count: the number of GPUs.
        env: the environment, in which CUDA_VISIBLE_DEVICES is read and set.
        driver: a folder with an entry for each GPU.
        folder: the folder of the locks; null: the user's own on this machine.
    Raises:
        DiskError: if the file of a lock cannot be made, as where a link has its name.
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
    """Take a lock until the process ends, and return whether it was free."""
    from filelock import FileLock, Timeout

    lock = FileLock(place, mode=0o600, thread_local=False, fallback_to_soft=False)
    try:
        with writing(place):
            lock.acquire(timeout=0)
    except Timeout:
        return False
    except DiskError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):  # It has no locks.
            return False
        raise
    # This refers to the lock, which would be released otherwise; after a kill the system does that.
    atexit.register(lock.release)
    return True
