"""What submitit is told of its jobs, from what squeue prints."""

import pytest

from fokker.launch.slurm_watch import SqueueWatcher


def watcher(*jobs: str) -> SqueueWatcher:
    made = SqueueWatcher()
    for job in jobs:
        made.register_job(job)
    return made


def test_every_job_of_an_array_has_its_state_and_one_that_is_not_known_is_over() -> None:
    made = watcher("7_0", "7_1", "7_2", "7_3")
    text = "7_0|RUNNING|n1\n7_1|CANCELLED|n[1-2]\n7_2|PENDING|\n8|COMPLETED|n2\n"
    found = made.read_info(text)
    assert {job: entry["State"] for job, entry in found.items()} == {
        "7_0": "RUNNING", "7_1": "CANCELLED", "7_2": "PENDING", "8": "COMPLETED",
        "7_3": "VANISHED",
    }  # fmt: skip
    assert found["7_1"]["NodeList"] == "n[1-2]"
    assert made.read_info(text.encode()) == found


@pytest.mark.parametrize(
    ("state", "is_over"),
    [
        ("CANCELLED", True), ("COMPLETED", True), ("FAILED", True), ("TIMEOUT", True),
        ("NODE_FAIL", True), ("OUT_OF_MEMORY", True), ("BOOT_FAIL", True), ("DEADLINE", True),
        ("RUNNING", False), ("PENDING", False), ("COMPLETING", False), ("REQUEUED", False),
        ("REQUEUE_HOLD", False), ("SPECIAL_EXIT", False), ("CONFIGURING", False),
        ("SUSPENDED", False), ("STOPPED", False), ("PREEMPTED", False), ("RESIZING", False),
    ],
)  # fmt: skip
def test_only_an_end_is_an_end(state: str, is_over: bool) -> None:
    made = watcher("7_0")
    (entry,) = made.read_info(f"7_0|{state}|n1\n").values()
    made._info_dict = {"7_0": entry}
    assert made.is_done("7_0", mode="cache") == is_over


def test_nothing_is_asked_when_all_is_done() -> None:
    assert SqueueWatcher()._make_command() is None
    command = watcher("7_0")._make_command()
    assert command is not None
    assert command[0] == "squeue"
