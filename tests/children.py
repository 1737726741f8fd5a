"""Processes of a test's own that begin with fokker imported: a server imports it once and forks."""

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any, TextIO, final

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["lightning", "optuna", "fokker.cli.main", "fokker.launch.job"])


@final
class Child:
    """A process, used like one of `subprocess.Popen`.

    Args:
        work: what it does, a function of a module.
        arguments: of `work`.
        folder: where it is.
        env: its environment.
    """

    def __init__(
        self, work: Callable[..., Any], *arguments: str, folder: Path, env: dict[str, str]
    ) -> None:
        (out, told), (err, warned) = FORKS.Pipe(duplex=False), FORKS.Pipe(duplex=False)
        self._process = FORKS.Process(
            target=_work, args=(told, warned, str(folder), env, work, arguments)
        )
        self._process.start()
        told.close()
        warned.close()
        self.stdout, self.stderr = _text(out), _text(err)

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, minus the number of the signal that has ended it; none before its end."""
        return self._process.exitcode

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """What it says until it ends."""
        said = ["", ""]

        def listen(place: int, stream: TextIO) -> None:
            said[place] = stream.read()

        readers = [
            Thread(target=listen, args=pair, daemon=True)
            for pair in enumerate((self.stdout, self.stderr))
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return said[0], said[1]

    def wait(self, timeout: float = 300) -> int:
        """Its exit code."""
        self._process.join(timeout)
        if self.returncode is None:
            self.kill()
            raise TimeoutError(f"a process was still at work after {timeout:g} s")
        return self.returncode

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()


def _text(begin: Connection) -> TextIO:
    text = os.fdopen(os.dup(begin.fileno()), encoding="utf-8")
    begin.close()
    return text


def _work(
    told: Connection,
    warned: Connection,
    folder: str,
    env: dict[str, str],
    work: Callable[..., Any],
    arguments: tuple[str, ...],
) -> None:
    for stream, end, place in ((sys.stdout, told, 1), (sys.stderr, warned, 2)):
        os.dup2(end.fileno(), place)
        end.close()
        stream.reconfigure(write_through=True)  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    work(*arguments)
