"""The check that the launcher of a sweep can start the ranks of its jobs."""

import shutil
from typing import Any

from omegaconf import DictConfig

from fokker.machine.start import AUTO, asked_ranks

ONE_MACHINE = {"JoblibLauncher": "joblib"}


def check_launcher(name: str, launcher: DictConfig, trainer: DictConfig) -> None:
    """Refuse a job whose ranks its launcher cannot start.

    Args:
        name: the name of the launcher's class.
        launcher: the launcher's configuration.
        trainer: the configuration of the job's trainer.
    Raises:
        ValueError: with the keys that do not fit together.
    """
    size, strategy = asked_ranks(trainer), trainer.get("strategy", AUTO)
    if name in ONE_MACHINE and strategy != AUTO:
        raise ValueError(
            f"hydra/launcher={ONE_MACHINE[name]} runs several jobs at once on one machine, and "
            f"trainer.strategy={strategy} takes its devices for the ranks of each; leave out "
            "the launcher, choose hydra/launcher=submitit_slurm, or say trainer=auto"
        )
    tasks, nodes = launcher.get("tasks_per_node", 1), launcher.get("nodes", 1)
    if name == "LocalLauncher" and (tasks, nodes) != (1, 1):
        raise ValueError(
            f"hydra.launcher.tasks_per_node and nodes must be 1 with submitit_local, got {tasks} "
            f"and {nodes}, each of which would run the whole job; say trainer=ddp "
            f"trainer.devices={tasks}, whose ranks a job starts itself"
        )
    if name != "FokkerSlurmLauncher":
        return
    if shutil.which("sbatch") is None:
        raise ValueError(
            "hydra/launcher=submitit_slurm needs SLURM, and sbatch is not found; start it where "
            "SLURM is, or leave the launcher out"
        )
    for key, asked, found, what in (
        ("devices", trainer.get("devices", 1), tasks, "tasks_per_node"),
        ("num_nodes", trainer.get("num_nodes", 1), nodes, "nodes"),
    ):
        if asked not in (AUTO, found):
            raise ValueError(
                f"trainer.{key} and hydra.launcher.{what}, its ranks, must be equal, got {asked} "
                f"and {found}; set trainer.{key} alone, from which the other follows"
            )
    started = _number(tasks) * _number(nodes)
    if started > 1 and strategy == AUTO:
        raise ValueError(
            f"hydra.launcher starts {started} ranks for each job, and trainer.strategy=auto is for "
            f"{size}; say trainer=ddp or trainer=fsdp"
        )


def _number(value: Any) -> int:
    return 1 if value in (None, AUTO) else int(value)
