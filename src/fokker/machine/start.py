"""The start of this process: alone, or as one rank of a run by torchrun or srun."""

import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import final

from omegaconf import DictConfig

from fokker.machine.environment import number, told
from fokker.machine.memory import check_fits

AUTO = "auto"
# The ports at which the ranks of a SLURM step meet. They lie below those that the system hands
# out, and steps that a machine may run at once get different ones.
FIRST_PORT, PORTS = 12000, 20000
# The least memory of its own that a process has after it has imported torch.
RANK_BYTES = 100_000_000


@final
@dataclass(frozen=True)
class Start:
    """The start of a process.

    Attributes:
        by: `torchrun`, `srun`, or `fokker`, which means one process started by hand or by fokker.
        rank, size: the rank of this process, and the number of ranks.
        local_rank, local_size: the same among the ranks on this machine.
        is_even: whether all machines have the same number of ranks.
    """

    by: str
    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    is_even: bool = True

    @classmethod
    def here(cls, env: Mapping[str, str] = os.environ) -> "Start":
        """Read from the environment how this process was started.

        Raises:
            ValueError: for a variable that is missing or no number, or a rank that is not below
                the number of ranks.
        """
        env = told(env)
        if "WORLD_SIZE" in env and "RANK" in env:
            size = number(env, "WORLD_SIZE", 1)
            local = number(env, "LOCAL_RANK", 0), number(env, "LOCAL_WORLD_SIZE", size)
            return cls("torchrun", number(env, "RANK", 0), size, *local)._checked("WORLD_SIZE")
        tasks = number(env, "SLURM_STEP_NUM_TASKS", 1) if is_step(env) else 1
        if tasks > 1:
            counts = [int(n) for n in re.findall(r"(?:^|,)(\d+)", env["SLURM_STEP_TASKS_PER_NODE"])]
            for name in ("SLURM_PROCID", "SLURM_LOCALID"):
                if name not in env:
                    raise ValueError(
                        f"{name} must say which of the {tasks} tasks of this SLURM step this "
                        "process is, and is not set; start it by srun, or for one process say "
                        "unset SLURM_STEP_NUM_TASKS"
                    )
            own = number(env, "SLURM_PROCID", 0), tasks, number(env, "SLURM_LOCALID", 0)
            start = cls("srun", *own, counts[0] if counts else tasks, len({*counts}) <= 1)
            return start._checked("SLURM_STEP_NUM_TASKS")
        is_typed = env.get("SLURM_JOB_NAME") in ("bash", "sh", "zsh", "interactive")
        return cls("srun" if is_step(env) and not is_typed else "fokker")

    def _checked(self, name: str) -> "Start":
        """Return this start if both of its ranks are below their numbers of ranks."""
        is_local = self.local_rank < self.local_size <= self.size or not self.is_even
        if self.rank < self.size and is_local:
            return self
        raise ValueError(
            f"{name} in the environment must be how many ranks there are, and this one is rank "
            f"{self.rank} of {self.size}, {self.local_rank} of {self.local_size} here; start all "
            f"ranks by one {self.by}, or for one process say unset {name}"
        )

    @property
    def nodes(self) -> int:
        """Return the number of machines."""
        return self.size // self.local_size

    def check(self, trainer: DictConfig) -> None:
        """Refuse a configuration for other ranks than were started.

        Raises:
            ValueError: if they differ; it says what was started and what was asked for.
        """
        if self.by == "fokker" and self.size == 1:
            return
        if not self.is_even:
            raise ValueError(
                f"every machine must have as many ranks, and {self.by} has started {self.size} on "
                "machines with different numbers; say srun --nodes=NODES --ntasks-per-node=RANKS"
            )
        ranks = f"{self.size} rank{'s' * (self.size > 1)}"
        machines = f"{self.nodes} machine{'s' * (self.nodes > 1)}"
        for key, asked, found, what, unit in (
            ("devices", trainer.get("devices", 1), self.local_size, "the ranks of each machine",
             "ranks on each"),
            ("num_nodes", trainer.get("num_nodes", 1), self.nodes, "the machines", "machines"),
        ):  # fmt: skip
            if asked not in (AUTO, found):
                raise ValueError(
                    f"trainer.{key} must be {found}, {what} ({self.by} has started {ranks} on "
                    f"{machines}), got {asked}; say trainer=ddp trainer.devices={self.local_size} "
                    f"trainer.num_nodes={self.nodes}, or start {asked} {unit} by {self.by}"
                )
        if self.size > 1 and trainer.get("strategy", AUTO) == AUTO:
            raise ValueError(
                f"trainer.strategy must be ddp or fsdp for the {self.size} ranks that {self.by} "
                "has started, got auto; say trainer=ddp or trainer=fsdp"
            )

    def say(self, env: MutableMapping[str, str] = os.environ) -> None:
        """Set the variables of torchrun, which torch reads, from those of srun.

        Variables that are set already are kept.
        """
        if self.by != "srun" or self.size == 1:
            return
        step = number(env, "SLURM_JOB_ID", 0) * 16 + number(env, "SLURM_STEP_ID", 0)
        said = {
            "RANK": self.rank, "WORLD_SIZE": self.size, "LOCAL_RANK": self.local_rank,
            "LOCAL_WORLD_SIZE": self.local_size, "GROUP_RANK": number(env, "SLURM_NODEID", 0),
            "MASTER_ADDR": first_node(env), "MASTER_PORT": FIRST_PORT + step % PORTS,
        }  # fmt: skip
        for key, value in said.items():
            env[key] = env.get(key) or str(value)


def is_step(env: Mapping[str, str] = os.environ) -> bool:
    """Tell whether this process is a task of srun, and not a job's batch script."""
    return {"SLURM_JOB_ID", "SLURM_STEP_TASKS_PER_NODE"} <= told(env).keys()


def first_node(env: Mapping[str, str]) -> str:
    """Return the machine of rank 0: of `n[1-4,7],m2` it is n1.

    Raises:
        ValueError: if SLURM does not name the machines.
    """
    nodes = env.get("SLURM_STEP_NODELIST", "")
    if not nodes:
        raise ValueError(
            "SLURM_STEP_NODELIST must name the machines of this SLURM step, and is not set; start "
            "it by srun"
        )
    first = re.match(r"([^,\[]|\[[^\]]*\])+", nodes)
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", first[0] if first else nodes)


def asked_ranks(trainer: DictConfig) -> int:
    """Return how many ranks a configuration asks for.

    Raises:
        ValueError: if a number is not valid, or no strategy is given for several ranks.
    """
    devices, nodes = trainer.get("devices", 1), trainer.get("num_nodes", 1)
    strategy = trainer.get("strategy", AUTO)
    if devices == AUTO:
        is_one = strategy == AUTO or trainer.get("accelerator") == "cpu"
        devices = 1 if is_one else max(1, _gpus())
    nodes = 1 if nodes == AUTO else nodes
    for key, value in (("devices", devices), ("num_nodes", nodes)):
        if type(value) is not int or value < 1:
            raise ValueError(
                f"trainer.{key} must be a whole number of at least 1 or auto, got {value}"
            )
    size: int = devices * nodes
    if size > 1 and strategy == AUTO:
        raise ValueError(
            f"trainer.strategy must be ddp or fsdp for {size} ranks, of trainer.devices on each of "
            "trainer.num_nodes machines, got auto; say trainer=ddp "
            f"trainer.devices={devices}, or trainer=fsdp"
        )
    return size


def check_alone(trainer: DictConfig, env: Mapping[str, str] = os.environ) -> None:
    """Refuse ranks that one process cannot start.

    Raises:
        ValueError: for several machines, for more ranks than fit into memory, for ranks counted by
            GPUs where there is none, and in a SLURM job of another number of tasks.
    """
    devices, nodes = trainer.get("devices", 1), trainer.get("num_nodes", 1)
    if type(devices) is int:
        check_fits("trainer.devices", devices, RANK_BYTES * devices, "a process each")
    if nodes not in (1, AUTO):
        raise ValueError(
            f"trainer.num_nodes={nodes} needs a start on every machine: "
            f"srun --nodes={nodes} --ntasks-per-node=RANKS fokker ..., torchrun "
            f"--nnodes={nodes} --nproc-per-node=RANKS -m fokker ..., or fokker -m "
            "hydra/launcher=submitit_slurm ...; for this machine alone say trainer.num_nodes=1"
        )
    if is_auto_without_gpu(trainer):
        raise ValueError(
            "trainer.devices=auto counts GPUs, and this machine has none that torch can use; say "
            "trainer=ddp_cpu trainer.devices=2 for ranks on the CPU, or trainer=auto for one"
        )
    tasks = number(env, "SLURM_NTASKS", 1)
    is_one = trainer.get("strategy", AUTO) == AUTO
    if env.get("SLURM_JOB_ID") and not is_one and tasks not in (1, devices):
        raise ValueError(
            f"trainer.devices must be the {tasks} tasks of this SLURM job, got {devices}; "
            "start it by srun, which runs every task, or ask for other tasks"
        )


def is_auto_without_gpu(trainer: DictConfig) -> bool:
    """Tell whether ranks are to be counted by GPUs where there is none to use."""
    if trainer.get("strategy", AUTO) == AUTO or trainer.get("devices") != AUTO:
        return False
    return trainer.get("accelerator") == "cpu" or _gpus() == 0


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def cores_of_rank(local_size: int, env: Mapping[str, str] = os.environ) -> int:
    """Return the number of cores of a rank on this machine: by SLURM, or an equal share."""
    share = max(1, cores() // local_size)
    return number(env, "SLURM_CPUS_PER_TASK", share) if is_step(env) else share


def cores() -> int:
    """Return the number of this machine's cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
