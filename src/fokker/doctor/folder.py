"""Checks of output_dir: it can be written, is seen by all ranks, and keeps locks."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from time import monotonic, perf_counter, sleep

from filelock import FileLock

from fokker.doctor.table import Row, judged
from fokker.machine.locks import is_locked
from fokker.machine.ranks import Ranks

FULL, NEARLY_FULL = 200 * 2**20, 5 * 2**30
# A network's file system may show a new file late.
SEEN_WITHIN = 5.0
WRITE_SLOW = 1.0  # seconds
GOT, HELD, UNSEEN = "got", "held", "unseen"
TRY = """
import sys
from pathlib import Path
from fokker.machine.locks import is_locked
try:
    print("held" if is_locked(Path(sys.argv[1])) else "got")
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


def folder_rows(output_dir: Path, host: str, ranks: Ranks) -> list[Row]:
    """Make the rows `folder` and `locks`; all ranks call this, and nothing is left behind."""
    with _probe_folder(output_dir, ranks) as (probe, wrong):
        if wrong:
            return [judged("folder", str(output_dir), wrong)]
        milliseconds, wrong = ranks.first_says(lambda: _write(probe))
        seen = ranks.collected((host, (ranks.is_first or _sees(probe / "written"))))
        row = ranks.first_says(lambda: judge_folder(
            output_dir, milliseconds, wrong, free_bytes(output_dir), file_system(output_dir),
            [f"rank {rank} on {at}" for rank, (at, is_seen) in enumerate(seen) if not is_seen],
        ))  # fmt: skip
        return [row, _locks(probe, host, ranks, [is_seen for _, is_seen in seen])]


@contextmanager
def _probe_folder(output_dir: Path, ranks: Ranks) -> Iterator[tuple[Path, str]]:
    """Make a folder in output_dir for the block, and then remove it and those made for it."""
    missing = [path for path in (output_dir, *output_dir.parents) if not path.exists()]

    def make() -> tuple[str, str]:
        path = output_dir / f".doctor-{token_hex(4)}"
        try:
            path.mkdir(parents=True)
            return str(path), ""
        except OSError as error:
            return str(path), (
                f"it cannot be written ({error.strerror or error}); choose another output_dir"
            )

    path, wrong = ranks.first_says(make)
    try:
        yield Path(path), wrong
    finally:
        if ranks.is_first:
            shutil.rmtree(path, ignore_errors=True)
            for folder in missing:
                with suppress(OSError):
                    folder.rmdir()


def _write(probe: Path) -> tuple[float, str]:
    """Write a file as fokker does; return the milliseconds, and why it cannot be written."""
    try:
        begun = perf_counter()
        temporary = probe / "written.tmp"
        with temporary.open("wb") as handle:
            handle.write(os.urandom(2**16))
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(probe / "written")
        return 1e3 * (perf_counter() - begun), ""
    except OSError as error:
        why = error.strerror or str(error)
        return 0.0, f"it cannot be written ({why}); choose another output_dir, or make room"


def _sees(path: Path, seconds: float = SEEN_WITHIN) -> bool:
    """Tell whether a file is there, or comes within some seconds."""
    end = monotonic() + seconds
    while not path.is_file():
        if monotonic() > end:
            return False
        sleep(0.05)
    return True


def judge_folder(
    output_dir: Path, milliseconds: float, wrong: str, free: int, kind: str, unseen: Sequence[str]
) -> Row:
    """Make the row of what was measured.

    Args:
        milliseconds: the time to write a small file through to the disk.
        wrong: the reason why it could not be written; empty if it was.
        free: the free bytes.
        kind: the type of the file system.
        unseen: the ranks that do not see what rank 0 has written.
    """
    gigabytes = f"{free / 2**30:.3g} GB free"
    found = f"{output_dir}, {gigabytes}{f' on {kind}' if kind else ''}"
    if not wrong:
        found += f", a file in {milliseconds:.2g} ms"
    if not wrong and free < FULL:
        wrong = (
            f"a checkpoint would soon not fit ({gigabytes}); make room or choose another output_dir"
        )
    if not wrong and unseen:
        wrong = (
            f"output_dir must be one folder for all ranks, and {', '.join(unseen[:4])} cannot see "
            "what rank 0 writes there; choose a folder on a shared disk"
        )
    warning = ""
    if free < NEARLY_FULL:
        warning = f"few checkpoints fit into {gigabytes}; make room or choose another output_dir"
    elif milliseconds > 1e3 * WRITE_SLOW:
        warning = "each save waits for this disk; choose a faster one for output_dir"
    return judged("folder", found, wrong, warning)


def free_bytes(path: Path) -> int:
    """Return the free bytes on the disk of a folder, which need not exist."""
    return shutil.disk_usage(next(p for p in (path, *path.parents) if p.exists())).free


def file_system(path: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """Return the type of the file system that a path is on; empty if it is not known."""
    if not mounts.is_file():
        return ""
    found: tuple[int, str] = (-1, "")
    for line in mounts.read_text(errors="replace").splitlines():
        _, place, kind, *_ = line.split(" ")
        mounted = Path(place.replace("\\040", " ").replace("\\011", "\t"))
        if path.is_relative_to(mounted):  # Of two at one place the later counts.
            found = max(found, (len(mounted.parts), kind), key=lambda pair: pair[0])
            if len(mounted.parts) == found[0]:
                found = (found[0], kind)
    return found[1]


# ---- locks -------------------------------------------------------------------------------


def _locks(probe: Path, host: str, ranks: Ranks, seen: Sequence[bool]) -> Row:
    """Hold a lock in rank 0, and let a process on each machine that can try to take it."""
    path, lock = probe / ".lock", FileLock(probe / ".lock")

    def hold() -> str:
        try:
            lock.acquire(timeout=0)
            return ""
        except Exception as error:  # The file system may have no locks.
            return f"{type(error).__name__}: {error}"

    why = ranks.first_says(hold)
    try:
        answers = []
        if not why:
            first_host = ranks.first_says(lambda: host)
            answer = try_elsewhere(path) if ranks.is_first else UNSEEN
            if host != first_host and seen[ranks.rank]:
                answer = try_here(path)
            answers = ranks.collected((host, answer))
        return judge_locks(answers, why)
    finally:
        lock.release()


def try_here(path: Path) -> str:
    """Try to take a lock that another process holds; return GOT, HELD or an error."""
    try:
        path.touch()  # A file that comes late by the network would seem free.
        return HELD if is_locked(path) else GOT
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def try_elsewhere(path: Path, run: Callable[..., str] = subprocess.check_output) -> str:
    """Let another process of this machine try to take a lock; return its answer."""
    try:
        return run([sys.executable, "-c", TRY, str(path)], text=True, timeout=20).strip()
    except (OSError, subprocess.SubprocessError) as error:
        return f"{type(error).__name__}: {error}"


def judge_locks(answers: Sequence[tuple[str, str]], why: str = "") -> Row:
    """Make the row of what came of the tries.

    Args:
        answers: the machine and the answer of each rank; that of rank 0 is from another process.
        why: the reason why rank 0 could not hold the lock at all; empty if it could.
    """
    what = "of models and jobs of sweeps"
    danger = (
        "two runs could train one model at the same time; mount the disk with flock, or choose "
        "another output_dir"
    )
    if why:
        return judged("locks", f"{what}: none ({why})", danger)
    first, tried = answers[0], [a for a in answers[1:] if a[1] != UNSEEN]
    hosts = list(dict.fromkeys(host for host, _ in tried))
    found = f"{what}: kept from another process"
    if hosts:
        found += f" and from {', '.join(hosts[:4])}{', ...' if len(hosts) > 4 else ''}"
    for host, answer in [first, *tried]:
        if answer == GOT:
            return judged("locks", f"{what}: held twice, on {first[0]} and {host}", danger)
        if answer != HELD:
            return judged("locks", f"{what}: unclear on {host} ({answer})", danger)
    return judged("locks", found)
