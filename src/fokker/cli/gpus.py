"""Which GPUs a job has, where several jobs run at once on a machine."""

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

from fokker.disk import own_folder

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
    """
    count_all = len(list(driver.iterdir())) if driver.is_dir() else 0
    known = [str(number) for number in range(count_all)]
    visible = env[VISIBLE].split(",") if VISIBLE in env else known
    if len(visible) <= count:
        return
    import fcntl

    mine: list[str] = []
    for name in visible:
        if len(mine) == count:
            break
        place = (folder or own_folder()) / f"gpu-{name}.lock"
        # Never closed: it is held for as long as the process lives, whatever way it ends.
        handle = os.open(place, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine.append(name)
        except OSError:
            os.close(handle)
    if len(mine) < count:
        rest = [name for name in visible if name not in mine]
        shared = [rest[(os.getpid() + i) % len(rest)] for i in range(count - len(mine))]
        print(f"warning: GPU {', '.join(shared)} is shared with another run", file=sys.stderr)
        mine += list(dict.fromkeys(shared))
    env[VISIBLE] = ",".join(mine)
