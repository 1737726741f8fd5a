"""Jobs of SLURM: one that is ended before its time goes on in the same folder, if it should."""

import signal
import sys
import time
from pathlib import Path

import cluster_runs
import pytest
from cluster_runs import FOKKER

import cluster
from fokker.machine.files import read_json

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("slurm")]


def warn(job: str) -> None:
    """What SLURM sends some time before the end of a job."""
    cluster.run("scancel", "--signal=USR1", job)


def both_hear(folder: Path) -> None:
    """Waits until both tasks live through SIGUSR1, while they import."""

    def they_do() -> bool:
        pids = cluster_runs.ranks(folder).values()
        return len(pids) == 2 and all(cluster_runs.hears(pid, signal.SIGUSR1) for pid in pids)

    cluster_runs.until(they_do, folder, "ready for SIGUSR1")


def test_a_warned_job_is_queued_again_and_goes_on_in_its_folder(two: Path, folder: Path) -> None:
    job = cluster_runs.submit(folder, "logger=wandb")
    both_hear(folder)
    warn(job)  # While they import, where there is nothing to save: it is not the end of them.
    cluster_runs.until_step(50, folder)
    assert cluster.restarts(job) == 0
    warn(job)
    cluster_runs.until(lambda: cluster.restarts(job) == 1, folder, "queued again", 60)
    cluster_runs.pace(folder)
    run = cluster_runs.only("outputs/runs/*", folder)
    before, identity = read_json(run / "run.json"), read_json(run / "wandb.json")["id"]
    saved = cluster_runs.saved_step(folder)
    assert before["status"] == "interrupted"
    assert f"saved at step {saved} of 200" in before["error"] + cluster_runs.said(folder)
    assert saved >= 50
    cluster_runs.completed(folder, job, restarts=1)
    assert cluster_runs.only("outputs/runs/*", folder) == run
    record = read_json(run / "run.json")
    assert (record["status"], record["training"]) == ("completed", "continued")
    assert record["slurm"] == {"job": job, "step": "0", "restarts": 1}
    assert "error" not in record
    assert read_json(run / "wandb.json")["id"] == identity
    assert {p.name.rpartition("-")[2] for p in run.glob("wandb/offline-run-*")} == {identity}
    assert {"metrics.json", "samples.npz", "evaluations.csv"} <= cluster_runs.names(run.iterdir())
    log = (folder / f"{job}.log").read_text()
    assert log.count(f"SLURM job {job} is queued again") == 1
    assert "Traceback" not in log
    assert cluster_runs.is_as(folder, two)
    assert cluster_runs.damaged(folder) == []


def test_a_job_without_a_save_and_one_that_samples_are_queued_again(
    two: Path, folder: Path
) -> None:
    job = cluster_runs.submit(folder, "callbacks.save_steps=1000", "sampler.num_steps=2000")
    cluster_runs.until_step(10, folder)
    assert cluster_runs.saved_step(folder) == 0
    warn(job)
    cluster_runs.until(lambda: cluster.restarts(job) == 1, folder, "queued again", 60)
    cluster_runs.pace(folder)
    assert 10 <= cluster_runs.saved_step(folder) < 200
    # The second start is quick: it is met when its model is complete, so in its sampling.
    (model,) = cluster_runs.models(folder)
    cluster_runs.until(
        lambda: read_json(model / "model.json")["status"] == "complete", folder, "trained"
    )
    warn(job)
    cluster_runs.completed(folder, job, restarts=2)
    assert [r["status"] for r in cluster_runs.records(folder)] == ["completed"]
    assert cluster_runs.is_as(folder, two)
    assert cluster_runs.damaged(folder) == []


def test_a_job_whose_time_is_up_goes_on_in_its_folder(two: Path, folder: Path) -> None:
    cluster_runs.pace(folder, seconds=1.0)
    job = cluster_runs.submit(folder, flags=("--time=1",))
    # SIGTERM alone, at the end of a minute: no warning was asked for.
    cluster_runs.until(lambda: cluster.restarts(job) == 1, folder, "queued again", 150)
    cluster_runs.pace(folder)
    assert 20 <= cluster_runs.saved_step(folder) < 100
    cluster_runs.completed(folder, job, restarts=1)
    run = cluster_runs.only("outputs/runs/*", folder)
    assert read_json(run / "run.json")["training"] == "continued"
    assert cluster_runs.is_as(folder, two)
    assert cluster_runs.damaged(folder) == []


def test_a_job_that_its_user_cancels_does_not_come_back(folder: Path) -> None:
    job = cluster_runs.submit(folder)
    cluster_runs.until_step(30, folder)
    cluster.run("scancel", job)
    assert cluster.wait(job, 60) == "CANCELLED"
    cluster_runs.all_gone(folder)
    time.sleep(3)
    assert cluster.state(job) == "CANCELLED"
    assert cluster.restarts(job) == 0
    assert cluster_runs.records(folder)[0]["status"] == "interrupted"
    # It is saved nevertheless: KillWait is longer than a block of steps.
    assert cluster_runs.saved_step(folder) >= 30
    assert f"SLURM job {job} is not queued again: it was cancelled" in cluster_runs.said(folder)


@pytest.mark.alone
def test_a_job_whose_node_fails_goes_on_on_another(two: Path, folder: Path) -> None:
    job = cluster_runs.submit(folder)
    cluster_runs.until_step(50, folder)
    node = cluster.show(job)["NodeList"]
    cluster.node_down(node)
    cluster_runs.pace(folder)
    try:
        cluster_runs.completed(folder, job, restarts=1)
        assert cluster.show(job)["NodeList"] != node
    finally:
        cluster.node_up(node)
    run = cluster_runs.only("outputs/runs/*", folder)
    assert read_json(run / "run.json")["training"] == "continued"
    assert read_json(run / "run.json")["slurm"]["restarts"] == 1
    assert cluster_runs.is_as(folder, two)
    assert cluster_runs.damaged(folder) == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        # Tasks that are more than the devices, and fewer.
        (
            f"srun {FOKKER} trainer=ddp_cpu trainer.devices=3",
            "trainer.devices must be 2, the ranks of each machine",
        ),
        (f"srun --ntasks=1 {FOKKER} trainer=ddp_cpu", "trainer.devices must be 1"),
        (f"srun {FOKKER}", "trainer.devices must be 2"),
        # The batch script itself, without srun.
        (
            f"{FOKKER} trainer=ddp_cpu trainer.devices=3",
            "trainer.devices must be the 2 tasks of this SLURM job, got 3",
        ),
        (f"{FOKKER} trainer=multi_node", "trainer.num_nodes=2 needs a start on every machine"),
    ],
)
def test_other_tasks_than_ranks_are_refused_in_words(
    command: str, words: str, folder: Path
) -> None:
    job = cluster_runs.submit(folder, command=command)
    assert cluster.wait(job, 120) == "FAILED"
    log = (folder / f"{job}.log").read_text()
    assert words in log
    assert "Traceback" not in log
    assert log.count("fokker: ") == 1, log
    assert not (folder / "outputs").exists()


# Waits for the other one, so that both have their GPUs at once.
CLAIM = """
import os, sys, time
from pathlib import Path
from fokker.machine.gpus import claim
claim(1, driver=Path("driver"), folder=Path("."))
Path(f"gpu.{os.environ['SLURM_JOB_ID']}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
end = time.monotonic() + 60
while len(list(Path(".").glob("gpu.*"))) < 2:
    assert time.monotonic() < end, "the other job has not begun"
    time.sleep(0.05)
"""


def test_jobs_at_once_have_different_gpus(folder: Path) -> None:
    for number in range(2):
        (folder / "driver" / str(number)).mkdir(parents=True)
    command = ("srun", "--nodelist=n1", "--gres=gpu:1", sys.executable, "-c", CLAIM)
    jobs = [cluster_runs.start(folder, *command) for _ in range(2)]
    codes = [cluster_runs.ended(job, folder, 90) for job in jobs]
    assert codes == [0, 0], cluster_runs.said(folder)
    assert sorted(path.read_text() for path in folder.glob("gpu.*")) == ["0", "1"]
