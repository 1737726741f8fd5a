"""Two runs on one machine take different GPUs, and a scheduler's choice is left alone."""

import errno
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fokker.machine.gpus import claim

CLAIM = """
import os, sys
from pathlib import Path
from fokker.machine.gpus import claim
claim(int(sys.argv[1]), driver=Path("driver"), folder=Path("."))
print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    """A driver's folder for three GPUs."""
    for number in range(3):
        (tmp_path / "driver" / f"0000:0{number}:00.0").mkdir(parents=True)
    return tmp_path / "driver"


def claiming(driver: Path, count: int) -> "subprocess.Popen[str]":
    """A process that claims GPUs and keeps them until its input is closed."""
    env = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
    return subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(count)], cwd=driver.parent, env=env, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def seen(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_processes_get_different_gpus_and_leave_them_when_they_die(driver: Path) -> None:
    processes = [claiming(driver, 1), claiming(driver, 1)]
    try:
        taken = [seen(process) for process in processes]
        assert sorted(taken) == ["0", "1"]
        # One is left, and two are asked for.
        processes.append(claiming(driver, 2))
        free, shared = seen(processes[2]).split(",")
        assert free == "2"
        assert shared in taken
        for number in (0, 2):
            processes[number].kill()
            processes[number].wait(timeout=20)
        processes.append(claiming(driver, 2))
        assert {*seen(processes[3]).split(",")} == {taken[0], "2"}
    finally:
        errors = []
        for process in processes:
            process.kill()
            errors.append(process.communicate(timeout=20)[1])
    assert [text.strip() for text in errors] == [
        "", "", f"warning: GPU {shared} is shared with another run", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("visible", "count", "expected"),
    [
        ("2", 1, "2"),  # a scheduler's choice
        ("1,2", 2, "1,2"),
        ("2,0", 1, "2"),  # a user's, of which one is needed
        ("GPU-8f3a,GPU-11c0", 1, "GPU-8f3a"),
        (None, 3, None),
        (None, 2, "0,1"),
    ],
)
def test_what_is_visible_is_what_is_chosen_from(
    driver: Path, visible: str | None, count: int, expected: str | None
) -> None:
    env = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    claim(count, env, driver, driver.parent)
    assert env.get("CUDA_VISIBLE_DEVICES") == expected


def test_a_link_in_the_place_of_a_lock_is_refused_and_not_followed(driver: Path) -> None:
    (driver.parent / "gpu-0.lock").symlink_to(driver.parent / "elsewhere")
    with pytest.raises(OSError, match=r"gpu-0\.lock cannot be written: .*; a link stands in its"):
        claim(1, {}, driver, driver.parent)
    assert not (driver.parent / "elsewhere").exists()


def test_a_lock_is_the_users_own_and_outlives_what_is_collected(driver: Path) -> None:
    env: dict[str, str] = {}
    thread = threading.Thread(target=claim, args=(1, env, driver, driver.parent))
    thread.start()
    thread.join()
    gc.collect()
    assert (driver.parent / "gpu-0.lock").stat().st_mode & 0o777 == 0o600
    another = claiming(driver, 1)
    try:
        assert (env["CUDA_VISIBLE_DEVICES"], seen(another)) == ("0", "1")
    finally:
        another.kill()
        another.communicate(timeout=20)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_where_a_disk_has_no_locks_a_gpu_is_shared(
    driver: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    def none(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", none)
    env: dict[str, str] = {}
    claim(1, env, driver, driver.parent)
    assert env["CUDA_VISIBLE_DEVICES"] in ("0", "1", "2")
    assert capsys.readouterr().err.endswith(" is shared with another run\n")


def test_a_machine_without_gpus_is_left_as_it_is(tmp_path: Path) -> None:
    env: dict[str, str] = {}
    claim(1, env, tmp_path / "none", tmp_path)
    assert env == {}
    assert list(tmp_path.iterdir()) == []
