"""A folder in which a process writes: who else may, who sees it, and what is left of it."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fokker.machine.locks import held, is_held, is_locked, locked

HOLD = """
import sys
from pathlib import Path
from fokker.machine.locks import held
with held(Path("run")):
    print("held", flush=True)
    sys.stdin.read()
"""
LOOK = """
import fcntl, os, sys
handle = os.open("run", os.O_RDONLY)
fcntl.flock(handle, fcntl.LOCK_SH)
print("looks", flush=True)
sys.stdin.read()
"""


@contextmanager
def another(source: str, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that has said that it is so far."""
    command = [sys.executable, "-c", source]
    process = subprocess.Popen(
        command, cwd=folder, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() != ""
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


def test_a_folder_is_one_processs_until_it_ends_whatever_way(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with another(HOLD, tmp_path) as holder:
        assert is_held(run)
        with pytest.raises(ValueError, match="run is another process's, which is at"), held(run):
            pass
        assert is_held(run)
        holder.kill()
        holder.wait(timeout=20)
        assert not is_held(run)
    with held(run):
        assert is_held(run)
    assert not is_held(run)
    assert list(tmp_path.rglob("*")) == [run]


def test_who_looks_is_not_taken_for_a_holder_by_another_who_looks(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with another(LOOK, tmp_path):
        assert not is_held(tmp_path / "run")


def test_a_folder_that_may_only_be_read_is_held_and_a_link_is_refused(tmp_path: Path) -> None:
    run, link = tmp_path / "run", tmp_path / "link"
    run.mkdir(mode=0o500)
    with held(run):
        assert is_held(run)
    link.symlink_to(run)
    with pytest.raises(ValueError, match="link is a link, and fokker writes into no"), held(link):
        pass


def test_a_disk_without_locks_of_folders_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: int) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr("fcntl.flock", none)
    with held(tmp_path / "run"):
        assert is_held(tmp_path / "run")


def test_a_locked_file_is_so_until_its_lock_is_released(tmp_path: Path) -> None:
    file = tmp_path / ".lock"
    assert not is_locked(file)
    assert not file.exists()
    with locked(file):
        assert is_locked(file)
    assert not is_locked(file)
