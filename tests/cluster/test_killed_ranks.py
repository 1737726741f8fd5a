"""Who is killed takes the whole run with it, and the same command goes on from what was saved."""

import random
import signal
import subprocess
import time
from pathlib import Path

import cluster_runs
import pytest
from cluster_runs import FOKKER, JOB, STARTS

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("slurm")]


def assert_killed(folder: Path, child: "subprocess.Popen[bytes]", words: str) -> None:
    """The run of `child`, one of whose ranks has gone, ends as a whole and says so."""
    code = cluster_runs.ended(child, folder, cluster_runs.GONE)
    cluster_runs.all_gone(folder)
    assert code not in (0, None), cluster_runs.said(folder)
    errors = (folder / "err.txt").read_text()
    assert words in errors, errors
    assert cluster_runs.records(folder)[-1]["status"] != "completed"


@pytest.mark.parametrize("how", ["fokker", "torchrun", "srun"])
def test_a_killed_rank_ends_the_run_which_goes_on_to_the_bit(
    how: str, two: Path, folder: Path
) -> None:
    words = {
        "fokker": "was ended by SIGKILL, and the others with it",
        "torchrun": "another rank of this run has ended",
        "srun": "another rank of this run has ended",
    }
    victims = {"fokker": ((1, 50), (0, 110)), "torchrun": ((1, 50),), "srun": ((0, 50),)}[how]
    saved = []
    for victim, at in victims:
        child = cluster_runs.start(folder, *STARTS[how], *JOB)
        cluster_runs.until_step(at, folder, child)
        cluster_runs.kill(cluster_runs.ranks(folder)[victim])
        # The first rank, which could say more, has said nothing if it was the one.
        assert_killed(folder, child, words[how])
        saved.append(cluster_runs.saved_step(folder))
        (folder / "err.txt").unlink()
    assert 20 <= saved[0] <= saved[-1] < 200
    assert len({*saved}) == len(victims)
    cluster_runs.pace(folder)
    cluster_runs.run(folder, *STARTS[how], *JOB)
    assert cluster_runs.records(folder)[-1]["training"] == "continued"
    assert cluster_runs.is_as(folder, two)
    assert cluster_runs.damaged(folder) == []


def test_ranks_whose_waiting_parent_is_killed_save_and_end(folder: Path) -> None:
    child = cluster_runs.start(folder, *STARTS["fokker"], *JOB)
    cluster_runs.until_step(50, folder, child)
    child.send_signal(signal.SIGKILL)
    assert cluster_runs.ended(child, folder, cluster_runs.GONE) == -signal.SIGKILL
    cluster_runs.all_gone(folder)
    errors = (folder / "err.txt").read_text()
    step = cluster_runs.saved_step(folder)
    # Not the last save, but all that was done.
    assert f"saved at step {step} of 200" in errors
    assert step >= cluster_runs.step(folder) >= 50
    assert cluster_runs.records(folder)[-1]["status"] == "interrupted"


def test_ranks_whose_parent_is_killed_while_they_start_end(folder: Path) -> None:
    child = cluster_runs.start(folder, *STARTS["fokker"], *JOB)
    cluster_runs.until(lambda: len(cluster_runs.ranks(folder)) == 2, folder, "two ranks")
    child.send_signal(signal.SIGKILL)
    cluster_runs.ended(child, folder, 10)
    cluster_runs.all_gone(folder)
    assert cluster_runs.models(folder) == []


def test_five_kills_at_random_moments_change_nothing(two: Path, folder: Path) -> None:
    """Of any process of the run, from its start to its last sample."""
    chance = random.Random(0)
    for number in range(5):
        # Before the first save, in training, in the sampling that follows.
        wait = (0, 10, 80, 150, 200)[number]
        child = cluster_runs.start(folder, *STARTS["fokker"], *JOB)
        if wait:
            cluster_runs.until_step(wait, folder, child)
        time.sleep(chance.uniform(0, 0.4))
        pids = [child.pid, *cluster_runs.ranks(folder).values()]
        cluster_runs.kill(chance.choice(pids))
        cluster_runs.ended(child, folder, cluster_runs.GONE)
        cluster_runs.all_gone(folder)
    cluster_runs.pace(folder)
    cluster_runs.run(folder, *STARTS["fokker"], *JOB)
    assert cluster_runs.records(folder)[-1]["status"] == "completed"
    assert cluster_runs.is_as(folder, two)
    assert cluster_runs.damaged(folder) == []


def test_a_kill_in_the_middle_of_a_save_leaves_no_litter(one: Path, folder: Path) -> None:
    cluster_runs.pace(folder)
    (folder / "kill_in_save").touch()
    child = cluster_runs.start(folder, FOKKER, *JOB)
    assert cluster_runs.ended(child, folder) != 0
    assert not (folder / "kill_in_save").exists()
    cluster_runs.run(folder, FOKKER, *JOB)
    assert cluster_runs.is_as(folder, one)
    assert cluster_runs.damaged(folder) == []
