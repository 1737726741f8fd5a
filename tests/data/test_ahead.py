"""Batches made ahead by workers: the same ones, whatever happens to the workers."""

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_runs
from fokker.data import Batch
from fokker.data.ahead import Ahead
from fokker.machine.signals import HEARD


def numbered(start: int, stop: int) -> Batch:
    return Batch(torch.arange(start, stop) ** 2)


def test_batches_are_those_of_the_function_in_any_order() -> None:
    ahead = Ahead(numbered, stride=10, workers=2)
    for start, stop in [(4, 7), (14, 17), (24, 27), (5, 8), (15, 18), (0, 1), (10, 11), (10, 11)]:
        assert torch.equal(ahead(start, stop).x, numbered(start, stop).x)
    assert len(multiprocessing.active_children()) == 2
    ahead.close()
    assert not multiprocessing.active_children()


def process_of(start: int, stop: int) -> Batch:
    return Batch(torch.tensor([os.getpid()]))


def test_batches_are_made_by_so_many_other_processes() -> None:
    ahead = Ahead(process_of, stride=1, workers=2)
    pids = {int(ahead(i, i + 1).x) for i in range(12)}
    ahead.close()
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_what_is_said_to_all_processes_of_a_job_leaves_the_workers_at_work() -> None:
    ahead = Ahead(numbered, stride=1, workers=1)
    ahead(0, 1)
    (worker,) = multiprocessing.active_children()
    for number in HEARD:
        os.kill(worker.pid, number)
    for i in range(1, 20):
        assert torch.equal(ahead(i, i + 1).x, numbered(i, i + 1).x)
    ahead.close()
    assert not multiprocessing.active_children()


def broken(start: int, stop: int) -> Batch:
    if start >= 20:
        raise ValueError(f"row {start} cannot be read; mend the file")
    return Batch(torch.zeros(1))


def test_what_a_worker_runs_into_is_raised_where_the_batch_is_asked_for() -> None:
    ahead = Ahead(broken, stride=10, workers=2)
    ahead(0, 10), ahead(10, 20)
    with pytest.raises(ValueError, match=r"^row 20 cannot be read; mend the file$") as error:
        ahead(20, 30)
    assert "in broken" in str(error.value.__cause__)
    ahead.close()


# Trainings -----------------------------------------------------------------------------------


def images(path: Path) -> str:
    array = np.random.default_rng(0).integers(0, 256, (60, 3, 4, 4), dtype=np.uint8)
    np.save(path, array)
    return f"data.path={path}"


WAYS = {
    "in_memory": (),
    "by_workers": ("data.workers=2",),
    "mapped": ("data.in_memory=false", "data.workers=0"),
    "mapped_by_workers": ("data.in_memory=false",),
}


@pytest.mark.long
def test_every_way_to_read_gives_the_same_model(workdir: Path) -> None:
    """Two epochs of 48 images, mirrored or not, in batches of 20."""
    job = ("data=points", images(workdir / "images.npy"), "+data.flip=true", "data.batch_size=20")
    made = [tiny_runs.train(*job, f"output_dir={w}", *WAYS[w])[1] for w in WAYS]
    assert len({folder.path.name for folder in made}) == 1  # One identity.
    first, *others = [tiny_runs.trained_state(folder) for folder in made]
    for other in others:
        assert tiny_runs.differing(first, other) == []
    assert not multiprocessing.active_children()


@pytest.mark.long
def test_fresh_points_by_workers_give_the_same_model(workdir: Path) -> None:
    one, other = (
        tiny_runs.train(f"output_dir=by_{n}", f"data.workers={n}")[1] for n in (0, 2)
    )  # fmt: skip
    assert tiny_runs.differing(tiny_runs.trained_state(one), tiny_runs.trained_state(other)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_changes_under_a_training_ends_it(workdir: Path, workers: int) -> None:
    path = workdir / "images.npy"
    job = ("data=points", images(path), "data.in_memory=false", f"data.workers={workers}")
    with pytest.raises(ValueError, match=r"^data\.path=.* must stay as it is .*\.in_memory=true$"):
        tiny_runs.train(*job, "trainer.max_steps=400", listener=lambda *_: path.touch())


@pytest.mark.long
def test_a_killed_worker_ends_the_training_and_leaves_its_last_save(workdir: Path) -> None:
    """The command ends, and not with 0; the same one goes on, to the bit."""
    job = ("data=points", images(workdir / "images.npy"), "data.workers=2", "trainer.max_steps=60",
           "callbacks.save_steps=10")  # fmt: skip
    kill = (
        "import multiprocessing, os, signal\n"
        "from fokker.data import DataModule\n"
        "plain = DataModule.training_batch\n"
        "def batch(self, start, stop):\n"
        "    if start == 30 * self.batch_size:\n"
        "        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)\n"
        "    return plain(self, start, stop)\n"
        "DataModule.training_batch = batch\n"
    )
    child = tiny_runs.process(workdir, *job, before=kill)
    assert child.wait(120) == 1
    assert 10 <= tiny_runs.only_model(workdir / "outputs").steps_done < 60
    tiny_runs.train(*job)
    tiny_runs.train(*job, "output_dir=undisturbed")
    ended = [tiny_runs.trained_state(tiny_runs.only_model(o)) for o in ("outputs", "undisturbed")]
    assert tiny_runs.differing(*ended) == []


@pytest.mark.parametrize(
    ("value", "says"),
    [("-1", "data.workers must be null, 0 or positive, got -1"),
     ("two", "data.workers must be a whole number or null, got two")],
)  # fmt: skip
def test_other_numbers_of_workers_are_refused(workdir: Path, value: str, says: str) -> None:
    with pytest.raises(ValueError) as error:
        tiny_runs.compose_experiment(f"data.workers={value}")
    assert str(error.value) == says
