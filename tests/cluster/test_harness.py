"""The harness itself: jobs run, are seen to end, and survive the loss of a node."""

from pathlib import Path

import pytest

import cluster

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("slurm")]


def test_a_job_runs_in_its_folder_and_completes(tmp_path: Path) -> None:
    job = cluster.submit("srun hostname; pwd", tmp_path, "--nodes=2")
    assert cluster.wait(job, 30) == "COMPLETED"
    assert str(tmp_path) in (tmp_path / f"{job}.log").read_text().split()


def test_a_failing_and_a_cancelled_job_are_told_apart(tmp_path: Path) -> None:
    failing = cluster.submit("exit 3", tmp_path)
    cancelled = cluster.submit("sleep 60", tmp_path)
    cluster.wait(cancelled, 30, "RUNNING".__eq__)
    cluster.run("scancel", cancelled)
    assert cluster.wait(failing, 30) == "FAILED"
    assert cluster.wait(cancelled, 30) == "CANCELLED"


def test_accounting_knows_the_job(tmp_path: Path) -> None:
    job = cluster.submit("true", tmp_path)
    cluster.wait(job, 30)
    assert cluster.run("sacct", "-n", "-X", "-P", "-j", job, "-o", "JobID") == job


def test_srun_gives_each_task_its_rank_and_a_gpu(tmp_path: Path) -> None:
    done = cluster.srun(
        "bash",
        "-c",
        "echo $SLURM_PROCID:$SLURM_NNODES:$CUDA_VISIBLE_DEVICES",
        cwd=tmp_path,
        flags=("--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=1"),
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["0:2:0", "1:2:0"]
