"""A real SLURM with two nodes for the tests in this folder; see slurm_up.sh."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cluster_runs
import pytest

import cluster

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def slurm() -> Iterator[Path]:
    """SLURM's configuration file; SLURM is up, and SLURM_CONF says where."""
    if os.geteuid() != 0 or not (shutil.which("slurmctld") or shutil.which("apt-get")):
        pytest.fail("these tests need root, and SLURM or Debian's apt-get to install it")
    if "PYTEST_XDIST_WORKER" in os.environ:
        pytest.fail("these tests take nodes down, so not beside each other: -p no:xdist")
    conf = Path(os.environ.get("FOKKER_SLURM", "/tmp/fokker-slurm")) / "slurm.conf"
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(conf)
    try:
        was_up = "is UP" in _output("scontrol", "ping")
        up = subprocess.run(
            [HERE / "slurm_up.sh"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if up.returncode != 0:
            pytest.fail(f"slurm_up.sh: exit {up.returncode}\n{up.stdout}{up.stderr}")
        yield conf
        if not was_up:
            subprocess.run([HERE / "slurm_down.sh"], check=True, timeout=120)
    finally:
        if before is None:
            del os.environ["SLURM_CONF"]
        else:
            os.environ["SLURM_CONF"] = before


@pytest.fixture(scope="session")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run in one process; not to be changed."""
    folder = cluster_runs.prepare(tmp_path_factory.mktemp("one"))
    cluster_runs.run(folder, cluster_runs.FOKKER, *cluster_runs.JOB)
    return folder


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the unbroken run of two ranks, started by fokker; not to be changed."""
    folder = cluster_runs.prepare(tmp_path_factory.mktemp("two"))
    cluster_runs.run(folder, *cluster_runs.STARTS["fokker"], *cluster_runs.JOB)
    return folder


@pytest.fixture
def folder(tmp_path: Path, slurm: Path) -> Iterator[Path]:
    """A folder for a slow JOB, in which nothing is left at work, and no job of SLURM."""
    yield cluster_runs.prepare(tmp_path, is_slow=True)
    for job in cluster.run("squeue", "-h", "-o", "%A %Z").splitlines():
        number, _, place = job.partition(" ")
        if Path(place) == tmp_path:
            cluster.run("scancel", number, check=False)
    cluster_runs.end_all(tmp_path)


def _output(*command: str) -> str:
    """What the command prints; nothing where it is missing or stuck."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
