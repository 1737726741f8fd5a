"""A real SLURM with two nodes for the tests in this folder; see slurm_up.sh."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cluster_runs
import pytest
from filelock import FileLock

import cluster

HERE = Path(__file__).parent


STATE = Path(os.environ.get("FOKKER_SLURM", "/tmp/fokker-slurm"))


@pytest.fixture(scope="session")
def slurm() -> Iterator[Path]:
    """SLURM's configuration file; SLURM is up, and SLURM_CONF says where. `make` takes it down."""
    if os.geteuid() != 0 or not (shutil.which("slurmctld") or shutil.which("apt-get")):
        pytest.fail("these tests need root, and SLURM or Debian's apt-get to install it")
    conf = STATE / "slurm.conf"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(conf))
        with FileLock(f"{STATE}.lock"):
            up = subprocess.run(
                [HERE / "slurm_up.sh"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=300,
            )  # fmt: skip
        if up.returncode != 0:
            pytest.fail(f"slurm_up.sh: exit {up.returncode}\n{up.stdout}{up.stderr}")
        yield conf


@pytest.fixture(autouse=True)
def turn(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests run beside each other, but for one that takes a node down from all."""
    is_alone = request.node.get_closest_marker("alone") is not None
    with Path(f"{STATE}.turn").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        yield


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
    yield cluster_runs.prepare(tmp_path, cluster_runs.SLOW)
    for job in cluster.run("squeue", "-h", "-o", "%A %Z").splitlines():
        number, _, place = job.partition(" ")
        if Path(place) == tmp_path:
            cluster.run("scancel", number, check=False)
    cluster_runs.end_all(tmp_path)

