"""How a process sees who has started it, from environments as torchrun and SLURM set them."""

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

import fokker
from fokker.machine.ranks import meeting_point
from fokker.machine.start import Start, asked_ranks, check_alone, first_node

# A job of two tasks; what srun adds to it in its first step.
JOB = {
    "SLURM_JOB_ID": "1234567", "SLURM_JOBID": "1234567", "SLURM_JOB_NAME": "train.sh",
    "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "n1", "SLURM_NTASKS": "2",
    "SLURM_NPROCS": "2", "SLURM_TASKS_PER_NODE": "2", "SLURM_PROCID": "0", "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0", "SLURM_NNODES": "1", "SLURM_NODELIST": "n1",
}  # fmt: skip
STEP = {
    **JOB, "SLURM_STEP_ID": "0", "SLURM_STEPID": "0", "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_NUM_NODES": "1", "SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_STEP_NODELIST": "n1",
}  # fmt: skip
TWO_NODES = {
    **STEP, "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_NNODES": "2",
    "SLURM_NODELIST": "n[1-2]", "SLURM_TASKS_PER_NODE": "1(x2)", "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2)", "SLURM_STEP_NODELIST": "n[1-2]",
}  # fmt: skip
ONE_TASK = {
    **STEP, "SLURM_NTASKS": "1", "SLURM_NPROCS": "1", "SLURM_TASKS_PER_NODE": "1",
    "SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_TASKS_PER_NODE": "1",
}  # fmt: skip
SHELL = {**ONE_TASK, "SLURM_JOB_NAME": "bash", "SLURM_PTY_PORT": "40001"}  # srun --pty bash
TORCHRUN = {
    "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "1",
    "ROLE_RANK": "3", "MASTER_ADDR": "n7", "MASTER_PORT": "29400",
}  # fmt: skip


def seen(env: Mapping[str, str]) -> tuple[str, int, int, int, int]:
    start = Start.here(env)
    return (start.by, start.rank, start.size, start.local_rank, start.local_size)


def task(env: Mapping[str, str], rank: int, local_rank: int, node: int) -> dict[str, str]:
    names = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID")
    return {**env, **dict(zip(names, map(str, (rank, local_rank, node))))}


def test_by_hand_it_is_one_process() -> None:
    assert seen({}) == seen({"HOME": "/home/x"}) == ("fokker", 0, 1, 0, 1)


def test_torchrun() -> None:
    assert seen(TORCHRUN) == ("torchrun", 3, 4, 1, 2)
    assert Start.here(TORCHRUN).nodes == 2
    one = {**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    assert seen(one) == ("torchrun", 0, 1, 0, 1)


def test_torchrun_inside_of_a_slurm_step_is_torchrun() -> None:
    assert seen({**task(TWO_NODES, 1, 0, 1), **TORCHRUN}) == ("torchrun", 3, 4, 1, 2)


@pytest.mark.parametrize("rank", [0, 1])
def test_srun_of_two_tasks(rank: int) -> None:
    assert seen(task(STEP, rank, rank, 0)) == ("srun", rank, 2, rank, 2)
    assert Start.here(task(STEP, rank, rank, 0)).nodes == 1
    assert seen(task(TWO_NODES, rank, 0, rank)) == ("srun", rank, 2, 0, 1)
    assert Start.here(task(TWO_NODES, rank, 0, rank)).nodes == 2


def test_srun_of_several_tasks_on_several_nodes() -> None:
    env = {**TWO_NODES, "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_TASKS_PER_NODE": "4(x2)"}
    assert seen(task(env, 6, 2, 1)) == ("srun", 6, 8, 2, 4)
    assert Start.here(task(env, 6, 2, 1)).nodes == 2


def test_a_batch_script_without_srun_is_one_process() -> None:
    assert seen(JOB) == ("fokker", 0, 1, 0, 1)


def test_one_task_of_srun_is_srun_s_and_a_shell_in_it_is_a_hand() -> None:
    assert seen(ONE_TASK) == ("srun", 0, 1, 0, 1)
    assert seen(SHELL) == ("fokker", 0, 1, 0, 1)


# Where the ranks meet -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("n1", "n1"), ("n[1-2]", "n1"), ("n1,n2", "n1"), ("n[01-04,07],m2", "n01"),
        ("gpu-a-3,gpu-b-1", "gpu-a-3"), ("gpu-a-[3-5],gpu-b-1", "gpu-a-3"),
        ("rack[1,3]node5", "rack1node5"), ("n[007,009-011]", "n007"), ("m2,n[1-3]", "m2"),
        ("node1.cluster.org,node2.cluster.org", "node1.cluster.org"),
        ("r[1-2]n[01-04]", "r1n01"),
    ],
)  # fmt: skip
def test_the_first_of_a_list_of_nodes(nodes: str, first: str) -> None:
    assert first_node({**STEP, "SLURM_STEP_NODELIST": nodes}) == first


def test_what_srun_says_is_said_again_in_torchrun_s_words() -> None:
    env = task({**TWO_NODES, "SLURM_STEP_NODELIST": "n[07,12]"}, 1, 0, 1)
    start = Start.here(env)
    start.say(env)
    told = {key: env[key] for key in TORCHRUN if key in env}
    assert re.fullmatch(r"\d+", told.pop("MASTER_PORT"))
    assert told == {
        "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1",
        "GROUP_RANK": "1", "MASTER_ADDR": "n07",
    }  # fmt: skip
    again = Start.here(env)
    assert (again.rank, again.size, again.local_rank, again.local_size) == (1, 2, 0, 1)


def test_an_address_that_the_user_gave_stays() -> None:
    env = {**task(STEP, 1, 1, 0), "MASTER_ADDR": "10.0.0.7", "MASTER_PORT": "5000"}
    Start.here(env).say(env)
    assert (env["MASTER_ADDR"], env["MASTER_PORT"]) == ("10.0.0.7", "5000")


@pytest.mark.parametrize("env", [{}, JOB, ONE_TASK, SHELL, TORCHRUN])
def test_nothing_is_said_where_srun_has_not_started_several(env: Mapping[str, str]) -> None:
    told = dict(env)
    Start.here(told).say(told)
    assert told == env


def port(job: int, step: int, rank: int) -> int:
    env = {**task(STEP, rank, rank, 0), "SLURM_JOB_ID": str(job), "SLURM_STEP_ID": str(step)}
    Start.here(env).say(env)
    return int(env["MASTER_PORT"])


def test_steps_that_may_run_beside_each_other_meet_at_ports_of_their_own() -> None:
    near = [(job, step) for job in range(1_000_000, 1_000_100) for step in range(8)]
    ports = {(job, step): port(job, step, 0) for job, step in near}
    assert len(set(ports.values())) == len(near)
    # Above those that need rights, below those that the system hands out.
    assert all(1024 < p < 32000 for p in ports.values())
    assert all(1024 < port(job, 3, 0) < 32000 for job in (1, 19_999, 20_000, 4_294_967_295))
    # All ranks of one step say the same.
    assert port(77, 2, 0) == port(77, 2, 1)


# What does not fit -----------------------------------------------------------------------------


def trainer(**entries: Any) -> DictConfig:
    return OmegaConf.create(entries)


@pytest.mark.parametrize(
    "asked",
    [
        {"devices": 2, "num_nodes": 1, "strategy": "ddp"},
        {"devices": "auto", "num_nodes": "auto", "strategy": "fsdp"},
        {"strategy": "ddp", "devices": "auto"},
    ],
)
def test_what_was_started_and_asked_for_fits(asked: dict[str, Any]) -> None:
    Start("torchrun", 1, 2, 1, 2).check(trainer(**asked))
    Start("srun", 1, 2, 1, 2).check(trainer(**asked))


@pytest.mark.parametrize(
    ("start", "asked", "said"),
    [
        (
            Start("srun", 0, 2, 0, 2), {"devices": 4, "strategy": "ddp"},
            ("trainer.devices must be 2", "srun", "got 4", "trainer.devices=2",
             "trainer.num_nodes=1", "2 ranks on 1 machine)"),
        ),
        (
            Start("torchrun", 0, 4, 0, 2), {"devices": 2, "num_nodes": 1, "strategy": "ddp"},
            ("trainer.num_nodes must be 2", "torchrun", "got 1", "trainer.num_nodes=2",
             "4 ranks on 2 machines)"),
        ),
        (
            Start("srun", 0, 2, 0, 2), {"strategy": "ddp"},
            ("trainer.devices must be 2", "got 1"),
        ),
        (
            Start("srun"), {"devices": 2, "strategy": "ddp"},
            ("trainer.devices must be 1", "srun", "1 rank on 1 machine)", "got 2"),
        ),
        (
            Start("torchrun", 0, 2, 0, 2), {"devices": 2},
            ("trainer.strategy must be ddp or fsdp", "2 ranks", "torchrun", "trainer=ddp"),
        ),
    ],
)  # fmt: skip
def test_ranks_that_were_not_asked_for_are_refused(
    start: Start, asked: dict[str, Any], said: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError) as caught:
        start.check(trainer(**asked))
    assert all(words in str(caught.value) for words in said), caught.value


def test_a_process_by_hand_may_start_what_it_likes() -> None:
    Start.here(JOB).check(trainer(devices=7, num_nodes=3))


@pytest.mark.parametrize(
    ("asked", "ranks"),
    [
        ({}, 1),
        ({"devices": "auto", "num_nodes": "auto"}, 1),
        ({"devices": "auto", "strategy": "ddp", "accelerator": "cpu"}, 1),
        ({"devices": 3, "strategy": "ddp"}, 3),
        ({"devices": 2, "num_nodes": 3, "strategy": "fsdp"}, 6),
    ],
)
def test_how_many_ranks_are_asked_for(asked: dict[str, Any], ranks: int) -> None:
    assert asked_ranks(trainer(**asked)) == ranks


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"devices": 0}, "trainer.devices must be a whole number .* got 0"),
        ({"devices": -1, "strategy": "ddp"}, "trainer.devices .* got -1"),
        ({"devices": 1.5}, "trainer.devices .* got 1.5"),
        ({"devices": "two"}, "trainer.devices .* got two"),
        ({"devices": True}, "trainer.devices .* got True"),
        ({"num_nodes": 0}, "trainer.num_nodes .* got 0"),
        ({"devices": 2}, "trainer.strategy must be ddp or fsdp for 2 ranks"),
        ({"num_nodes": 2}, "trainer.strategy must be ddp or fsdp for 2 ranks"),
    ],
)
def test_ranks_that_cannot_be(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        asked_ranks(trainer(**asked))


def test_one_process_does_not_start_others_on_other_machines() -> None:
    with pytest.raises(ValueError, match=r"trainer.num_nodes=2 needs a start") as caught:
        check_alone(trainer(devices=1, num_nodes=2, strategy="ddp"), {})
    assert "srun --nodes=2" in str(caught.value)
    assert "torchrun --nnodes=2" in str(caught.value)
    check_alone(trainer(devices=4, num_nodes=1, strategy="ddp"), {})
    check_alone(trainer(num_nodes="auto"), {})


def test_a_batch_script_of_several_tasks_starts_them_by_srun() -> None:
    with pytest.raises(ValueError, match=r"must be the 2 tasks .*got 1.*srun"):
        check_alone(trainer(devices=1, strategy="ddp"), JOB)
    check_alone(trainer(devices=2, strategy="ddp"), JOB)  # one process that starts the other
    check_alone(trainer(devices=1), JOB)  # one rank, whatever else the job is for
    check_alone(trainer(devices=4, strategy="ddp"), {**JOB, "SLURM_NTASKS": "1"})


def test_ranks_are_not_counted_by_gpus_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    auto = {"devices": "auto", "strategy": "ddp"}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for accelerator in ("auto", "cpu", "gpu"):
        with pytest.raises(ValueError, match=r"trainer.devices=auto counts GPUs.*trainer=ddp_cpu"):
            check_alone(trainer(**auto, accelerator=accelerator), {})
    check_alone(trainer(devices=2, strategy="ddp"), {})
    check_alone(trainer(devices="auto"), {})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    check_alone(trainer(**auto), {})
    assert asked_ranks(trainer(**auto)) == 4
    with pytest.raises(ValueError, match="counts GPUs"):
        check_alone(trainer(**auto, accelerator="cpu"), {})


def test_a_script_that_torchrun_has_started_is_told_who_starts_ranks(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(ValueError, match=r"torchrun has started 2 of this script") as caught:
        fokker.run(["data=uniform", "trainer=ddp_cpu"])
    assert str(caught.value).endswith("-m fokker data=uniform trainer=ddp_cpu")
    assert not list(workdir.iterdir())


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_PORT"])
@pytest.mark.parametrize("text", ["", "x", "-1"])
def test_what_ranks_are_not_told(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {**TORCHRUN, "LOCAL_WORLD_SIZE": "4", "RANK": "0", name: text}.items():
        monkeypatch.setenv(key, value)
    for key in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):  # They are set here.
        monkeypatch.setenv(key, "")
    with pytest.raises(ValueError, match=f"^{name} .* must be a whole number .*torchrun or srun"):
        meeting_point(timedelta(seconds=1))
