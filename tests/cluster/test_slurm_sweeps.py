"""Sweeps and searches whose jobs have two ranks each, some of which are ended from outside."""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import cluster_runs
import pytest
from cluster_runs import FOKKER, JOB

import cluster
from fokker.machine.files import read_json
from fokker.store.curves import read_json_lines

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("slurm")]

SWEEP = (FOKKER, "-m", "trainer=ddp_cpu", *JOB)


@pytest.fixture(scope="module")
def seeds(two: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The models of unbroken trainings of two ranks, by seed; not to be changed."""
    folder = cluster_runs.prepare(tmp_path_factory.mktemp("seeds"))
    cluster_runs.run(folder, FOKKER, "trainer=ddp_cpu", *JOB, "seed=1")
    return {"0": cluster_runs.models(two)[0], "1": cluster_runs.models(folder)[0]}


def by_seed(folder: Path) -> dict[str, Path]:
    """The models of a sweep over seeds."""
    rows = cluster_runs.table(cluster_runs.only("outputs/sweeps/*/results.csv", folder))
    return {row["seed"]: folder / "outputs/models" / row["model"] for row in rows}


def job_folders(folder: Path) -> list[Path]:
    """The folder of each job of the sweep, in its order."""
    listed = cluster_runs.only("outputs/sweeps/*/jobs.json", folder)
    return [
        listed.parent / "-".join([*job["swept"].values(), job["key"]])
        for job in read_json(listed)["jobs"]
    ]


def job_step(job: Path) -> int:
    """How far the training of a job of a sweep has come."""
    record = read_json(job / "run.json")
    if not record:
        return -1
    rows = read_json_lines(Path(record["model"]["path"], "metrics.jsonl"))
    return max((row["step"] for row in rows), default=0)


def test_an_array_waits_for_what_comes_back_and_goes_on_without_what_was_cancelled(
    seeds: dict[str, Path], folder: Path
) -> None:
    command = (*SWEEP, "hydra/launcher=submitit_slurm", "seed=0,1")
    child = cluster_runs.start(folder, *command)
    cluster_runs.until(lambda: list(folder.glob("outputs/sweeps/*/jobs.json")), folder, "begun")
    jobs = job_folders(folder)
    sweep = jobs[0].parent
    cluster_runs.until(lambda: min(map(job_step, jobs)) >= 30, folder, "training, both")
    # The array's own number, by which scancel knows its jobs, is also that of its last job.
    (array,) = {p.name.partition("_")[0] for p in sweep.parent.glob(".submitit/[0-9]*_*")}
    names = [f"{array}_{number}" for number in range(2)]
    numbers = [read_json(job / "run.json")["slurm"]["job"] for job in jobs]
    assert numbers == names
    cluster.run("scancel", names[1])
    cluster.run("scancel", "--signal=USR2", names[0])
    cluster_runs.until(lambda: cluster.restarts(names[0]) == 1, folder, "queued again", 60)
    cluster_runs.pace(folder)
    assert cluster_runs.ended(child, folder) == 1
    rows = cluster_runs.table(sweep / "results.csv")
    assert [row["status"] for row in rows] == ["completed", "interrupted"]
    assert [row["folder"] for row in rows] == [job.name for job in jobs]
    assert [cluster.state(name) for name in names] == ["COMPLETED", "CANCELLED"]
    assert [row["training"] for row in rows] == ["continued", ""]
    assert read_json(jobs[0] / "run.json")["slurm"]["restarts"] == 1
    counted = read_json(sweep / "sweep.json")
    assert counted["jobs"] == 2
    assert counted["statuses"] == {"completed": 1, "interrupted": 1}
    # The same command runs what was cancelled, and leaves the rest alone.
    before = {job: (job / "run.json").stat().st_mtime_ns for job in jobs}
    cluster_runs.run(folder, *command)
    assert {job: (job / "run.json").stat().st_mtime_ns for job in jobs} == before
    rows = cluster_runs.table(sweep / "results.csv")
    assert [row["status"] for row in rows] == ["completed"] * 2
    assert [row["folder"] for row in rows] == [jobs[0].name, f"{jobs[1].name}.2"]
    assert rows[1]["training"] == "continued"
    assert read_json(sweep / "sweep.json")["statuses"] == {"completed": 2}
    for seed, model in by_seed(folder).items():
        assert cluster_runs.model_is_as(model, seeds[seed])
    assert cluster_runs.damaged(folder) == []


def wait_for(child: "subprocess.Popen[bytes]", what: Callable[[], bool], folder: Path) -> None:
    """Waits until it is so, or the process has ended."""
    cluster_runs.until(lambda: what() or child.poll() is not None, folder, "so far")


def test_five_kills_in_a_sweep_lose_no_row(seeds: dict[str, Path], folder: Path) -> None:
    """Of the process that sweeps or of a rank; the sweep is started again until it is done."""
    chance = random.Random(1)
    kills, killed_parents, code = 0, 0, -1

    def done() -> int:
        """Steps of all models together."""
        curves = [read_json_lines(p / "metrics.jsonl") for p in cluster_runs.models(folder)]
        return sum(rows[-1]["step"] for rows in curves if rows)

    while code != 0:
        assert kills <= 5, cluster_runs.said(folder)
        child = cluster_runs.start(folder, *SWEEP, "seed=0,1")
        while child.poll() is None and kills < 5:
            aim = done() + chance.randrange(20, 70)
            wait_for(child, lambda aim=aim: done() >= aim, folder)
            time.sleep(chance.uniform(0, 0.5))
            pids = [child.pid, *cluster_runs.ranks(folder).values()]
            if child.poll() is not None:
                break
            victim = chance.choice(pids)
            kills += 1
            killed_parents += victim == child.pid
            cluster_runs.pace(folder, cluster_runs.SLOW * (kills < 5))
            cluster_runs.kill(victim)
            if victim == child.pid:
                assert cluster_runs.ended(child, folder, 10) == -signal.SIGKILL
                cluster_runs.all_gone(folder)
            else:  # The sweep goes on with the next job.
                wait_for(child, lambda pid=victim: pid not in cluster_runs.living(folder), folder)
        code = cluster_runs.ended(child, folder)
    assert kills == 5
    assert 0 < killed_parents < 5
    sweep = cluster_runs.only("outputs/sweeps/*", folder)
    rows = cluster_runs.table(sweep / "results.csv")
    assert [(row["seed"], row["status"]) for row in rows] == [(s, "completed") for s in "01"]
    assert read_json(sweep / "sweep.json")["statuses"] == {"completed": 2}
    for seed, model in by_seed(folder).items():
        assert cluster_runs.model_is_as(model, seeds[seed])
    assert cluster_runs.damaged(folder) == []


def test_both_ranks_of_a_trial_have_the_same_values(folder: Path) -> None:
    cluster_runs.pace(folder)
    cluster_runs.run(
        folder, *SWEEP, "hydra/sweeper=fokker_search", "hydra.sweeper.n_trials=2",
        "objective=w1", "+weighting.mark=interval(0.1,1.0)", "trainer.max_steps=20",
    )  # fmt: skip
    rows = cluster_runs.table(cluster_runs.only("outputs/sweeps/*/results.csv", folder))
    assert [row["status"] for row in rows] == ["completed"] * 2
    marks = [(folder / f"marks.{rank}").read_text().split() for rank in (0, 1)]
    assert marks[0] == marks[1]
    assert len({*marks[0]}) == 2
    assert sorted(map(float, marks[0])) == sorted(float(row["mark"]) for row in rows)
    runs = [read_json(path) for path in folder.glob("outputs/sweeps/*/*/run.json")]
    assert [run["ranks"] for run in runs] == [2] * 2


def test_jobs_that_cannot_be_say_why(folder: Path) -> None:
    """And not how their ranks have ended, which torch aborts at times."""
    for seeds in ("0,1", "2,3"):
        child = cluster_runs.start(folder, *SWEEP, "data.batch_size=255", f"seed={seeds}")
        assert cluster_runs.ended(child, folder) == 1
        rows = cluster_runs.table(cluster_runs.only("outputs/sweeps/*/results.csv", folder))
        assert [row["status"] for row in rows] == ["failed"] * 2
        for row in rows:
            assert row["error"].startswith("ValueError: data.batch_size must divide into 2 equal")
    assert "terminate called" not in cluster_runs.said(folder)


def test_ranks_with_other_values_are_refused_before_they_train(folder: Path) -> None:
    other = "seed='${oc.decode:${oc.env:RANK,0}}'"
    child = cluster_runs.start(folder, FOKKER, "trainer=ddp_cpu", *JOB, other)
    assert cluster_runs.ended(child, folder, 120) == 1
    errors = (folder / "err.txt").read_text()
    assert "all ranks must have the same configuration, and rank 1 has another one" in errors
    assert "Traceback" not in errors
    assert not (folder / "outputs").exists()
