"""A check that the ranks which were started are those that the configuration asks for."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from omegaconf import DictConfig

from fokker.doctor.facts import Facts
from fokker.doctor.table import Row, judged
from fokker.machine.start import Start, asked_ranks, check_alone


@final
@dataclass(frozen=True)
class Launch:
    """The launch of the examined run, from which its ranks follow.

    Attributes:
        start: the start of this process.
        launcher: the name of hydra's launcher.
        jobs: the keys of the launcher before a sweep; null: the run begins here.
        is_own: whether fokker itself has started this process and the other ranks.
    """

    start: Start
    launcher: str = "basic"
    jobs: Mapping[str, Any] | None = None
    is_own: bool = False

    @property
    def is_submitted(self) -> bool:
        """Tell whether sbatch would be asked for the ranks of each job."""
        return self.jobs is not None and self.launcher == "submitit_slurm"

    @property
    def ahead(self) -> Start:
        """Return the start of a sweep's job, if SLURM starts it, or else that of this process."""
        if not self.is_submitted or self.jobs is None:
            return self.start
        nodes, tasks = int(self.jobs.get("nodes") or 1), int(self.jobs.get("tasks_per_node") or 1)
        return Start("srun", 0, nodes * tasks, 0, tasks)


def to_start(launch: Launch, trainer: DictConfig) -> int:
    """Return the number of ranks that carry out a run.

    Raises:
        ValueError: if other ranks are started than the configuration asks for.
    """
    start = launch.ahead
    if launch.jobs is not None and launch.start.size > 1:
        raise ValueError(
            f"a sweep starts the ranks of its jobs itself, and {launch.start.by} has started "
            f"{launch.start.size} sweeps; leave {launch.start.by} out"
        )
    tasks = (launch.jobs or {}).get("tasks_per_node") or 1
    if launch.launcher == "submitit_local" and launch.jobs is not None and tasks != 1:
        raise ValueError(
            "hydra.launcher.tasks_per_node must be 1 with hydra/launcher=submitit_local, whose "
            f"jobs start their ranks themselves, got {tasks}; say trainer.devices={tasks}"
        )
    start.check(trainer)
    if start.size > 1:
        return start.size
    if start.by == "fokker":
        check_alone(trainer)
    return asked_ranks(trainer)


def started_row(launch: Launch, trainer: DictConfig, facts: Sequence[Facts]) -> Row:
    """Make the row of how the run was started, and whether the configuration asks for that."""
    counts = Counter(fact.host for fact in facts)
    by = "fokker" if launch.is_own else "hand" if launch.start.by == "fokker" else launch.start.by
    found = f"by {by}: {_ranks(len(facts))} on {_machines(len(counts))} ({_hosts(counts)})"
    if launch.is_submitted:
        ahead = launch.ahead
        found += f"; each job: {_ranks(ahead.size)} on {_machines(ahead.nodes)} by sbatch"
    elif launch.jobs is not None:
        found += f"; jobs by hydra/launcher={launch.launcher}"
    wrong = ""
    try:
        to_start(launch, trainer)
    except ValueError as error:
        wrong = str(error)
    if len({*counts.values()}) > 1:
        wrong = (
            f"each machine must have as many ranks, got {_hosts(counts)}; say "
            "--nodes=NODES --ntasks-per-node=RANKS to srun"
        )
    return judged("started", found, wrong)


def _hosts(counts: Mapping[str, int]) -> str:
    """List the machines with their numbers of ranks; of many, the first three and the last."""
    texts = [f"{host} {count}" for host, count in counts.items()]
    return ", ".join(texts if len(texts) <= 6 else [*texts[:3], "...", texts[-1]])


def _ranks(count: int) -> str:
    return f"{count} rank{'s' * (count != 1)}"


def _machines(count: int) -> str:
    return f"{count} machine{'s' * (count != 1)}"
