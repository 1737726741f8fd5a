"""Processes that do not outlive the one that waits for them, also where that is killed."""

import os
import re
import signal
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import Any

#: The variable that names the process of a sweep to those that run its jobs.
SWEEP = "FOKKER_SWEEP_PROCESS"
# A process may save so long after the one that waited has gone; then it is killed.
GRACE_SECONDS = 9.0
POLL_SECONDS = 0.5
#: What a shell says of a process that SIGTERM has ended.
ENDED = 128 + signal.SIGTERM


def this_process() -> str:
    """Return what tells this process from all others of the machine, also later ones."""
    return f"{os.getpid()}:{_begun(os.getpid())}"


def is_alive(process: str) -> bool:
    """Return whether a process of this machine is still at work.

    Args:
        process: its own `this_process`.
    """
    number, _, begun = process.partition(":")
    if begun:
        return _begun(int(number)) == begun
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # Of another user, so it is there.
        return True
    return True


def _begun(pid: int) -> str:
    """When a process began, in ticks of the system; empty if it is over, or where nothing says.

    Raises:
        OSError: if it cannot be read now.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    fields = text.rpartition(")")[2].split()  # Before it is a name with anything in it.
    return "" if fields[0] in "ZX" else fields[19]


def end_with(process: str) -> None:
    """End this process by SIGTERM, which it may hear and save, as soon as another one has gone.

    If it is still there after `GRACE_SECONDS` it is killed, with the processes of its data.

    Args:
        process: the other one's `this_process`.
    Raises:
        SystemExit: if it has gone already.
    """
    if not is_alive(process):
        raise SystemExit(ENDED)
    name = f"ends with {process}"
    if not any(other.name == name for other in threading.enumerate()):
        threading.Thread(target=_wait, args=(process,), name=name, daemon=True).start()


def _wait(process: str) -> None:
    while True:
        try:
            if not is_alive(process):
                break
        except OSError:  # Too many open files, say.
            pass
        sleep(POLL_SECONDS)
    # Of the system, since threads are the first that a process loses while it ends.
    signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS + 1)
    os.kill(os.getpid(), signal.SIGTERM)
    sleep(GRACE_SECONDS)
    import multiprocessing

    for child in multiprocessing.active_children():
        child.kill()
    os.kill(os.getpid(), signal.SIGKILL)


def end_with_sweep() -> None:
    """End this process as soon as the sweep has gone that has started it on this machine, if any.

    Raises:
        SystemExit: if it has gone already.
    """
    if re.fullmatch(r"\d+:\d*", os.environ.get(SWEEP, "")):
        end_with(os.environ[SWEEP])


@contextmanager
def ending_with_this(launcher: Any, env: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """Let the processes that a launcher starts on this machine end when this one does.

    Args:
        launcher: of hydra's; one whose jobs run elsewhere, or here in this process, starts none.
        env: the environment, which they inherit.
    """
    kind = type(launcher).__name__
    if kind not in ("JoblibLauncher", "LocalLauncher"):
        yield
        return
    env[SWEEP] = this_process()
    if kind == "JoblibLauncher" and _takes_initializer():
        launcher.joblib["initializer"] = end_with_sweep  # Also of one that gets no job.
    try:
        yield
    finally:
        del env[SWEEP]


def _takes_initializer() -> bool:
    """Whether workers of joblib may begin with something; older ones stay idle for 5 minutes."""
    import inspect

    from joblib import Parallel

    return "backend_kwargs" in inspect.signature(Parallel.__init__).parameters
