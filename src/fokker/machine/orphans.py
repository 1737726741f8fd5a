"""Processes that end with the one that waits for them, even if that one is killed."""

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
# The time for a last save after the waiting process has ended; then a process is killed.
GRACE_SECONDS = 9.0
POLL_SECONDS = 0.5
#: The exit code that a shell reports for a process that SIGTERM has ended.
ENDED = 128 + signal.SIGTERM


def this_process() -> str:
    """Return an identifier that no other process of this machine has, not even a later one."""
    return f"{os.getpid()}:{_begun(os.getpid())}"


def is_alive(process: str) -> bool:
    """Tell whether a process of this machine is still at work.

    Args:
        process: the identifier that `this_process` returned in it.
    """
    number, _, begun = process.partition(":")
    if begun:
        return _begun(int(number)) == begun
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # It exists, as another user's process.
        return True
    return True


def _begun(pid: int) -> str:
    """Return when a process began, in ticks of the system.

    The text is empty if the process has ended, or if there is no /proc.

    Raises:
        OSError: if it cannot be read now.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    fields = text.rpartition(")")[2].split()  # The name before it may contain anything.
    return "" if fields[0] in "ZX" else fields[19]


def end_with(process: str) -> None:
    """Send SIGTERM to this process as soon as another one has ended.

    This process may handle the signal and save. If it is still there after `GRACE_SECONDS`, it is
    killed, with the worker processes of its data.

    Args:
        process: the identifier of the other process, from `this_process`.
    Raises:
        SystemExit: if the other one has ended already.
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
    # A timer of the system too, since a process that is ending loses its threads first.
    signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS + 1)
    os.kill(os.getpid(), signal.SIGTERM)
    sleep(GRACE_SECONDS)
    import multiprocessing

    for child in multiprocessing.active_children():
        child.kill()
    os.kill(os.getpid(), signal.SIGKILL)


def end_with_sweep() -> None:
    """End this process as soon as the sweep that started it on this machine, if any, has ended.

    Raises:
        SystemExit: if the sweep has ended already.
    """
    if re.fullmatch(r"\d+:\d*", os.environ.get(SWEEP, "")):
        end_with(os.environ[SWEEP])


@contextmanager
def ending_with_this(launcher: Any, env: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """Let the processes that a launcher starts on this machine end when this one does.

    Args:
        launcher: a launcher of hydra; nothing is done for one whose jobs run elsewhere or in this
            process.
        env: the environment that the processes inherit.
    """
    kind = type(launcher).__name__
    if kind not in ("JoblibLauncher", "LocalLauncher"):
        yield
        return
    env[SWEEP] = this_process()
    if kind == "JoblibLauncher" and _takes_initializer():
        launcher.joblib["initializer"] = end_with_sweep  # So that a worker without a job ends too.
    try:
        yield
    finally:
        del env[SWEEP]


def _takes_initializer() -> bool:
    """Tell whether joblib takes an initializer for its workers, as older versions do not.

    There, idle workers stay for 5 minutes.
    """
    import inspect

    from joblib import Parallel

    return "backend_kwargs" in inspect.signature(Parallel.__init__).parameters
