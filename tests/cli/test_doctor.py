"""`fokker task=doctor`: each row by what it was told, and the whole in one and in two ranks."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from filelock import FileLock
from omegaconf import OmegaConf

from fokker.doctor import cluster, folder, is_asked
from fokker.doctor.facts import Facts, devices_row, facts_here, versions_row
from fokker.doctor.launched import Launch, started_row, to_start
from fokker.doctor.meeting import judge_meeting, meet
from fokker.doctor.table import Row, closing, judged, table
from fokker.doctor.training import (
    Built,
    Speed,
    batch_row,
    configuration_row,
    precision_row,
    speed_here,
)
from fokker.doctor.wandb import server_answers, wandb_row
from fokker.machine.ranks import ALONE, LostRank
from fokker.machine.start import Start
from processes import is_inside, listened, marked

GB = 2**30
VERSIONS = {"fokker": "1", "python": "3.11", "torch": "2.13"}
FACTS = Facts("a", VERSIONS, "cpu", "", "a processor", 8 * GB, "", frozenset({0, 1}), 1)
AUTO = OmegaConf.create({"accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto"})
DDP = OmegaConf.create({**AUTO, "devices": "auto", "strategy": "ddp"})


def doctor(
    cwd: Path, *overrides: str, env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    outside = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
    return subprocess.run(
        [sys.executable, "-c", "from fokker.cli.main import main; main()", "task=doctor",
         "data=uniform", "network.width=16", *overrides],
        cwd=cwd, env={**outside, "COLUMNS": "300", **(env or {})}, text=True, capture_output=True,
        timeout=300,
    )  # fmt: skip


def rows_of(text: str) -> dict[str, str]:
    """The rows of a printed table."""
    return {line.split()[0]: line for line in text.splitlines()[1:-1]}


# ---- the whole ---------------------------------------------------------------------------


def test_two_ranks_meet_and_nothing_is_left(tmp_path: Path) -> None:
    (temporary := tmp_path / "temporary").mkdir()
    env = {"TMPDIR": str(temporary), "GLOO_SOCKET_IFNAME": "none0"}
    addresses: set[str] = set()
    modes: set[int] = set()
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(doctor, tmp_path, "trainer=ddp_cpu", "output_dir=deep/er", env=env)
        while not answer.done():
            addresses |= listened(marked(str(temporary)))
            with suppress(FileNotFoundError):
                modes |= {folder.stat().st_mode & 0o777 for folder in temporary.glob("fokker-*")}
            sleep(0.2)
    done = answer.result()
    assert done.returncode == 0, done.stderr
    # Where ranks meet nobody else comes to, by whatever interface.
    assert modes == {0o700}
    assert addresses
    assert all(map(is_inside, addresses)), addresses
    assert list(temporary.iterdir()) == []
    temporary.rmdir()
    assert done.stdout.splitlines()[-1].startswith("nothing would go wrong")
    assert done.stderr == ""
    rows = rows_of(done.stdout)
    for what, words in {
        "started": "by fokker: 2 ranks on 1 machine",
        "batch": "256 = 2 ranks x 128 samples",
        "meeting": "2 ranks by gloo: ",
        "configuration": "in all ranks",
        "folder": str(tmp_path / "deep/er"),
        "locks": "kept from another process",
    }.items():
        assert words in rows[what], rows[what]
        assert rows[what].endswith("  ok"), rows[what]
    assert done.stdout.count("versions") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_what_would_go_wrong_is_said_and_is_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = doctor(tmp_path, "output_dir=file/outputs", "sampler=annealed_langevin")
    assert done.returncode == 1
    rows = rows_of(done.stdout)
    assert "wrong: it cannot be written" in rows["folder"]
    assert "wrong: sampler=annealed_langevin walks the levels" in rows["configuration"]
    assert "locks" not in rows
    assert done.stdout.splitlines()[-1] == "2 things would go wrong"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_configuration_that_cannot_be_composed_is_a_sentence(tmp_path: Path) -> None:
    done = doctor(tmp_path, "sampler=none_such")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("fokker: ")
    assert "none_such" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_it_does_without_what_carries_out_a_job(tmp_path: Path) -> None:
    lines = [
        "import sys",
        "from fokker.cli.main import main",
        "sys.argv = ['fokker', 'task=doctor', 'data=uniform', 'network.width=16']",
        "main()",
        "print(sorted({'fokker.launch.job', 'fokker.launch.joining'} & {*sys.modules}))",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=tmp_path, text=True, capture_output=True
    )
    *_, last, modules = done.stdout.splitlines()
    assert last.startswith("nothing would go wrong"), done.stderr
    assert modules == "[]"


def test_it_is_asked_in_a_shell_and_by_no_file(tmp_path: Path) -> None:
    (tmp_path / "own/experiment").mkdir(parents=True)
    (tmp_path / "own/experiment/look.yaml").write_text("# @package _global_\ntask: doctor\n")
    words = ["experiment=look", "--config-dir=own"]
    done = subprocess.run(
        [sys.executable, "-m", "fokker", *words], cwd=tmp_path, text=True, capture_output=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "task must be run or plan, or in a shell doctor, models" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_when_it_is_asked() -> None:
    assert is_asked(["data=uniform", "task=doctor"])
    assert is_asked(["task='doctor'"])
    assert not is_asked(["task=doctor", "task=plan"])
    assert not is_asked(["data=doctor"])


def test_a_rank_that_does_not_come_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {
        "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0",
    }.items():  # fmt: skip
        monkeypatch.setenv(key, value)
    start = Start("torchrun", 0, 2, 0, 2)
    with pytest.raises(LostRank, match=r"the 2 ranks have not met within 1 s; start all"):
        meet(start, DDP, timedelta(seconds=1))


# ---- the table ---------------------------------------------------------------------------


def test_table_is_as_wide_as_asked_and_loses_no_word() -> None:
    long = judged("folder", "word " * 30, "one two " * 40)
    rows = [Row("a", "b"), long, judged("c", "", "", "d")]
    for width in (20, 80, 120):
        lines = table(rows, width).splitlines()
        assert max(map(len, lines)) <= max(width, 60)
        assert sum(line.count("word") for line in lines) == 30
        assert sum(line.count("two") for line in lines) == 40
    assert closing(rows) == "1 thing would go wrong; 1 warning"
    assert closing(rows[:1]) == "nothing would go wrong"
    assert closing([rows[1]] * 2) == "2 things would go wrong"


# ---- ranks and devices -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("launch", "trainer", "words"),
    [
        (Launch(Start("fokker")), AUTO, ""),
        (Launch(Start("torchrun", 0, 2, 0, 2)), DDP, ""),
        (Launch(Start("torchrun", 0, 2, 0, 2)), AUTO, "trainer.devices must be 2"),
        (Launch(Start("srun", 0, 4, 0, 2)), DDP, "trainer.num_nodes must be 2"),
        (Launch(Start("fokker")), {**DDP, "num_nodes": 2}, "needs a start on every machine"),
        (Launch(Start("fokker")), {**AUTO, "devices": 3}, "must be ddp or fsdp for 3 ranks"),
        (Launch(Start("torchrun", 0, 2, 0, 2), jobs={}), DDP, "has started 2 sweeps"),
        (
            Launch(Start("fokker"), "submitit_slurm", {"nodes": 2, "tasks_per_node": 2}),
            {**DDP, "num_nodes": 2},
            "",
        ),
        (
            Launch(Start("fokker"), "submitit_slurm", {"nodes": 2, "tasks_per_node": 2}),
            DDP,
            "trainer.num_nodes must be 2",
        ),
        (
            Launch(Start("fokker"), "submitit_local", {"tasks_per_node": 2}),
            AUTO,
            "hydra.launcher.tasks_per_node must be 1",
        ),
    ],
)
def test_started_ranks_against_the_configuration(launch: Launch, trainer: Any, words: str) -> None:
    row = started_row(launch, OmegaConf.create(dict(trainer)), [FACTS] * launch.start.size)
    assert row.is_wrong == bool(words)
    assert words in row.verdict


def test_before_a_sweep_the_ranks_are_those_of_its_jobs() -> None:
    launch = Launch(Start("fokker"), "submitit_slurm", {"nodes": 2, "tasks_per_node": 3})
    assert to_start(launch, OmegaConf.create({**DDP, "num_nodes": 2})) == 6
    row = started_row(launch, OmegaConf.create({**DDP, "num_nodes": 2}), [FACTS])
    assert "each job: 6 ranks on 2 machines by sbatch" in row.found


def test_machines_must_have_as_many_ranks() -> None:
    facts = [FACTS, FACTS, replace(FACTS, host="b")]
    row = started_row(Launch(Start("srun", 0, 3, 0, 3)), DDP, facts)
    assert row.is_wrong
    assert "got a 2, b 1" in row.verdict


def test_versions_must_agree() -> None:
    other = replace(FACTS, versions={**VERSIONS, "torch": "2.10"})
    assert versions_row([FACTS, FACTS]) == Row("versions", "fokker 1, python 3.11, torch 2.13")
    row = versions_row([FACTS, FACTS, other])
    assert row.is_wrong
    assert "one torch, and rank 2 has 2.10 where rank 0 has 2.13" in row.verdict


def test_threads_of_all_ranks_must_fit_the_cores() -> None:
    assert devices_row([FACTS, FACTS]).verdict == "ok"
    row = devices_row([replace(FACTS, threads=2)] * 2)
    assert row.is_warning
    assert "4 threads of 2 ranks share 2 cores on a" in row.verdict
    assert "OMP_NUM_THREADS=1" in row.verdict
    # Cores that a scheduler gave to one rank each are added, and so are other machines'.
    bound = [replace(FACTS, cores=frozenset({4 * n, 4 * n + 1}), threads=2) for n in range(2)]
    assert devices_row(bound).verdict == "ok"
    assert devices_row([replace(FACTS, threads=2), replace(FACTS, host="b")]).verdict == "ok"
    assert "at most 2 ranks" in devices_row([FACTS] * 3).verdict


def test_each_rank_needs_a_gpu_of_its_own() -> None:
    gpu = replace(FACTS, device="cuda:0", name="H100", serial="1")
    assert not devices_row([gpu, replace(gpu, serial="2"), replace(gpu, host="b")]).is_wrong
    shared = devices_row([gpu, replace(gpu, serial="2"), gpu])
    assert "ranks 0 and 2 have the same GPU" in shared.verdict
    without = devices_row([gpu, replace(FACTS, device="", lack="no GPU; use trainer=cpu")])
    assert without.is_wrong
    assert "rank 1 has no device: no GPU" in without.verdict
    slower = devices_row([gpu, replace(gpu, serial="2", name="T4")])
    assert slower.is_warning
    assert "rank 1: cuda (T4, " in slower.found


def test_facts_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    start = Start("srun", 1, 2, 1, 2)
    found = facts_here(AUTO, start, {"SLURMD_NODENAME": "n7", "OMP_NUM_THREADS": "1"})
    assert (found.host, found.device, found.lack, found.threads) == ("n7", "cpu", "", 1)
    assert found.memory > 0
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    lacking = facts_here(OmegaConf.create({**AUTO, "accelerator": "gpu"}), start)
    assert lacking.device == ""
    assert "trainer=gpu needs a GPU" in lacking.lack


def test_meeting_is_judged_by_its_speed_and_its_sums() -> None:
    fast = judge_meeting("nccl", 4, 2e-5, 5e9)
    assert fast == Row("meeting", "4 ranks by nccl: 20 us a small sum, 5 GB/s")
    slow = judge_meeting("gloo", 4, 2e-3, 1e7)
    assert slow.is_warning
    assert "a million parameters take 0.4 s a step" in slow.verdict
    assert judge_meeting("gloo", 4, 2e-3, 1e9, are_right=False).is_wrong


# ---- the training ------------------------------------------------------------------------


def batch(size: int, ranks: int, piece: int | None = None) -> Row:
    trainer = {"_target_": "fokker.training.Engine", "device_batch_size": piece}
    config = {"data": {"batch_size": size}, "trainer": trainer, "allow_targets": []}
    return batch_row(OmegaConf.create(config), ranks)


def test_batch_is_divided_or_refused() -> None:
    assert batch(256, 1) == Row("batch", "256 = 1 rank x 256 samples a step")
    assert batch(256, 2, 32) == Row("batch", "256 = 2 ranks x 128 samples a step, in 4 parts of 32")
    refused = batch(255, 2)
    assert refused.is_wrong
    assert "the nearest that does: 254 or 256" in refused.verdict


def test_precision_is_tried_and_timed() -> None:
    assert speed_here("32-true", "cpu") == Speed()
    assert speed_here("bf16-mixed", "cpu").lower > 0
    assert speed_here("bf16-mixed", "no_such_device").error
    full = precision_row("32-true", "cpu", [Speed(), Speed()])
    assert full == Row("precision", "32-true on cpu")
    assert precision_row("16-mixed", "cuda:0", [Speed(1e-3, 2e-3)]).verdict == "ok"
    slow = precision_row("bf16-mixed", "cpu", [Speed(1e-3, 2e-3), Speed(4e-3, 1e-3)])
    assert slow.is_warning
    assert "4 times slower" in slow.verdict
    failed = precision_row("16-mixed", "mps", [Speed(1e-3, 2e-3), Speed(error="no")])
    assert failed.is_wrong
    assert "rank 1 cannot train with trainer.precision=16-mixed (no)" in failed.verdict


def test_ranks_must_have_one_configuration() -> None:
    built = Built("1234", "/out", "edm-1")
    same = configuration_row([built, built])
    assert same == Row("configuration", "edm-1, 1234 in all ranks")
    for other, words in (
        (replace(built, digest="5678"), "the same configuration, and rank 1 has 5678"),
        (replace(built, folder="/else"), "the same output_dir, and rank 1 has /else"),
        (replace(built, model="edm-2"), "the same model, data or classes, and rank 1 has edm-2"),
        (replace(built, model="", error="no file"), "rank 1 cannot begin: no file"),
    ):
        row = configuration_row([built, other])
        assert row is not None
        assert row.is_wrong
        assert words in row.verdict
    # What another row has said already is not said, nor counted, twice.
    bad = replace(built, error="no file")
    assert configuration_row([bad], [judged("batch", "", "so: no file")]) is None


# ---- the folder --------------------------------------------------------------------------


def judge(free: int = 50 * GB, ms: float = 2.0, unseen: tuple[str, ...] = ()) -> Row:
    return folder.judge_folder(Path("/out"), ms, "", free, "nfs4", unseen)


def test_folder_is_judged() -> None:
    assert judge() == Row("folder", "/out, 50 GB free on nfs4, a file in 2 ms")
    assert judge(free=2 * GB).is_warning
    assert judge(free=100 * 2**20).is_wrong
    assert judge(ms=3000.0).is_warning
    apart = judge(unseen=("rank 1 on b",))
    assert apart.is_wrong
    assert "rank 1 on b cannot see" in apart.verdict


def test_file_system_is_that_of_the_longest_place(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/a / ext4 rw 0 0\nfiler:/x /home/with\\040space nfs4 rw 0 0\n"
        "overlay /home overlay rw 0 0\ntmp /home tmpfs rw 0 0\n"
    )
    for path, kind in (
        ("/", "ext4"),
        ("/homes/me", "ext4"),
        ("/home/with space/me", "nfs4"),
        ("/home/me", "tmpfs"),
    ):
        assert folder.file_system(Path(path), mounts) == kind
    assert folder.file_system(Path("/"), tmp_path / "none") == ""


def test_rows_of_a_folder_that_is_made_for_them_alone(tmp_path: Path) -> None:
    rows = folder.folder_rows(tmp_path / "a/b", "here", ALONE)
    assert [(row.what, row.verdict) for row in rows] == [("folder", "ok"), ("locks", "ok")]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").touch()
    folder.folder_rows(tmp_path, "here", ALONE)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_held_lock_is_not_got_and_a_free_one_is(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    assert folder.try_elsewhere(path) == folder.GOT
    assert folder.try_here(path) == folder.GOT
    with FileLock(path):
        assert folder.try_elsewhere(path) == folder.HELD
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.append(folder.try_here(path)))
        thread.start()
        thread.join()
    assert found == [folder.HELD]
    (tmp_path / "file").touch()
    assert folder.try_here(tmp_path / "file/.lock") not in (folder.GOT, folder.HELD)


def test_locks_that_two_hold_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = folder.judge_locks([("a", "held"), ("a", "unseen"), ("b", "held")])
    assert kept.verdict == "ok"
    assert kept.found.endswith("kept from another process and from b")
    for answers in ([("a", "got")], [("a", "held"), ("b", "got")], [("a", "OSError: 5")]):
        row = folder.judge_locks(answers)
        assert row.is_wrong
        assert "two runs could train one model at the same time" in row.verdict
    assert folder.judge_locks([("a", "held"), ("b", "got")]).found.endswith("twice, on a and b")
    assert folder.judge_locks([], "NotImplementedError: no flock").is_wrong
    # And it is asked for.
    monkeypatch.setattr(folder, "try_elsewhere", lambda path: folder.GOT)
    assert [row.is_wrong for row in folder.folder_rows(tmp_path, "a", ALONE)] == [False, True]


# ---- the cluster -------------------------------------------------------------------------

JOB = (
    "JobId=7 JobName=x JobState=RUNNING Requeue={requeue} Restarts=2 BatchFlag={batch} "
    "RunTime=00:10:00 TimeLimit=1-02:00:00 Partition=main NumTasks=4"
)


def slurm(**answers: tuple[str, int]) -> Callable[..., tuple[str, int]]:
    return lambda *command: answers.get(command[0], ("", 127))


def test_scheduler_outside_of_a_job() -> None:
    assert cluster.scheduler_row({}, slurm()) == Row("scheduler", "none")
    up = slurm(sinfo=("2 idle\n1 down*\n1 mixed~", 0), sacct=("", 0))
    assert cluster.scheduler_row({}, up).found.endswith("3 of 4 nodes up, accounting on")
    off = cluster.scheduler_row({}, slurm(sinfo=("1 idle", 0), sacct=("is disabled", 1)))
    assert off.verdict == "ok"
    assert "accounting off, which fokker works without" in off.found
    assert cluster.scheduler_row({}, slurm(sinfo=("2 down*", 0))).is_warning
    silent = cluster.scheduler_row({}, slurm(sinfo=("sinfo: error: no host", 1)))
    assert "does not answer (sinfo: error: no host)" in silent.found


def test_scheduler_in_a_job() -> None:
    def row(requeue: int, batch: int) -> Row:
        text = JOB.format(requeue=requeue, batch=batch)
        return cluster.scheduler_row({"SLURM_JOB_ID": "7"}, slurm(scontrol=(text, 0)))

    good = row(1, 1)
    assert good == Row(
        "scheduler",
        "SLURM job 7 in main, 25 h 50 min left, 4 tasks, 2 restarts, is queued again",
    )
    assert "sbatch --requeue" in row(0, 1).verdict
    assert "start it by sbatch" in row(1, 0).verdict
    assert row(1, 0).is_warning
    silent = cluster.scheduler_row({"SLURM_JOB_ID": "7"}, slurm())
    assert "put scontrol on the PATH" in silent.verdict


def test_time_left() -> None:
    assert cluster.time_left("UNLIMITED", "00:10:00") == "no limit"
    assert cluster.time_left("00:30:00", "00:10:30") == "19 min left"
    assert cluster.time_left("01:30:00", "00:10:00") == "1 h 20 min left"


def test_sbatch_is_asked_and_nothing_submitted() -> None:
    jobs = {
        "_target_": "x", "name": "fokker", "nodes": 2, "tasks_per_node": 4, "timeout_min": 60,
        "mem_gb": 16, "partition": None, "signal_delay_s": 120, "setup": ["module load cuda"],
        "additional_parameters": {"mail_type": "END", "exclusive": True},
    }  # fmt: skip
    asked: list[tuple[str, ...]] = []

    def ask(*command: str) -> tuple[str, int]:
        asked.append(command)
        return "sbatch: Job 5 to start at 2030-01-01T10:00:00 using 8 processors", 0

    row = cluster.sbatch_row(jobs, ask)
    assert row == Row("sbatch", (
        "sbatch --nodes=2 --ntasks-per-node=4 --time=60 --mem=16GB --signal=USR2@120 "
        "--mail-type=END --exclusive; could start at 2030-01-01T10:00:00"
    ))  # fmt: skip
    assert all("--test-only" in command for command in asked)
    refused = "sbatch: error: x\nallocation failure: Invalid partition name specified"
    bad = cluster.sbatch_row(jobs, slurm(sbatch=(refused, 1)))
    assert bad.is_wrong
    assert "(Invalid partition name specified)" in bad.verdict
    assert "sbatch is not found" in cluster.sbatch_row(jobs, slurm()).verdict


def lacking(*packages: str) -> Callable[[str], str]:
    def version(name: str) -> str:
        if name in packages:
            raise PackageNotFoundError(name)
        return "1.2"

    return version


def test_launchers() -> None:
    assert cluster.launchers_row("submitit_slurm", lacking()).verdict == "ok"
    none = lacking("hydra-submitit-launcher")
    assert "pip install hydra-submitit-launcher" in cluster.launchers_row("", none).found
    assert cluster.launchers_row("joblib", none).verdict == "ok"
    assert cluster.launchers_row("submitit_slurm", none).is_wrong


# ---- W&B ---------------------------------------------------------------------------------


def mirror(
    monkeypatch: pytest.MonkeyPatch, mode: str, key: bool = False, up: bool = True, **changes: Any
) -> Row:
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setattr("fokker.tracking.wandb_run._has_key", lambda: key)
    given = {"version": lacking(), "has_key": lambda: key, "answers": lambda server: up, **changes}
    return wandb_row(True, **given)


def test_wandb_modes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert mirror(monkeypatch, "offline") == Row("W&B", "wandb 1.2, no key: offline")
    online = mirror(monkeypatch, "", key=True)
    assert online == Row("W&B", "wandb 1.2, a key: online, https://api.wandb.ai answers")
    assert mirror(monkeypatch, "disabled").found.endswith("disabled by WANDB_MODE")
    down = mirror(monkeypatch, "online", key=True, up=False)
    assert down.is_warning
    assert "does not answer within 3 s" in down.verdict
    keyless = mirror(monkeypatch, "online")
    assert keyless.is_warning
    assert "WANDB_MODE=online needs a key" in keyless.verdict
    assert mirror(monkeypatch, "", version=lacking("wandb")).is_warning
    assert capsys.readouterr().err == ""


def test_wandb_is_not_asked_without_a_key_or_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(server: str) -> bool:
        raise AssertionError(server)

    mirror(monkeypatch, "", answers=never)
    mirror(monkeypatch, "offline", key=True, answers=never)


def test_wandb_that_is_not_used_is_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr("fokker.tracking.wandb_run._has_key", lambda: False)
    row = wandb_row(False, version=lacking(), has_key=lambda: False)
    assert row.verdict == "ok"
    assert "logger is not wandb" in row.found


def test_a_server_that_is_not_there_answers_nothing() -> None:
    assert not server_answers("http://127.0.0.1:9", 0.5)
    assert not server_answers("no address", 0.5)
