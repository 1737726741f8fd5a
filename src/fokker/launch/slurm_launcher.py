"""The launcher `hydra/launcher=submitit_slurm`: each job of a sweep is a job of SLURM."""

from collections.abc import Sequence
from pathlib import Path
from time import sleep
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from fokker.machine.signals import SIGNALS

POLL_SECONDS = 2.0
#: Keys that submitit has for every executor; the others are SLURM's own.
COMMON = (
    "timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name",
    "stderr_to_stdout",
)  # fmt: skip


class SlurmLauncher(Launcher):
    """A launcher on top of hydra-submitit-launcher that waits for every job, however it ends.

    The package's own launcher gives up at the first job that was cancelled or killed, and without
    SLURM's accounting it would wait for such a job for ever. This one also waits for a job that
    is queued again.

    Args:
        submitit_folder: the folder of submitit's files.
        max_num_timeout: a key of submitit's that is not used: a job is queued again as often as it
            advances.
        parameters: the parameters of submitit and of sbatch.
    Raises:
        ValueError: if max_num_timeout is given.
    """

    def __init__(
        self, submitit_folder: str, max_num_timeout: int = 0, **parameters: object
    ) -> None:
        if max_num_timeout:
            raise ValueError(
                f"hydra.launcher.max_num_timeout must be 0, got {max_num_timeout}: a job is queued "
                "again as often as it advances"
            )
        self._folder, self._parameters = submitit_folder, parameters

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep hydra's context, task and configuration for the jobs.

        Raises:
            ValueError: if the package is not installed.
        """
        try:
            from hydra_plugins.hydra_submitit_launcher import submitit_launcher
        except ImportError as error:
            raise ValueError(
                "hydra/launcher=submitit_slurm needs the package hydra-submitit-launcher; "
                "pip install hydra-submitit-launcher"
            ) from error
        self._job = submitit_launcher.SlurmLauncher()
        self._job.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Submit jobs as one array, wait for them, and return the result or error of each."""
        import submitit

        from fokker.launch.slurm_watch import watch_by_squeue

        watch_by_squeue()
        executor = submitit.AutoExecutor(self._folder, cluster="slurm")
        plain = {
            key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for key, value in self._parameters.items()
        }
        named = {k if k in COMMON else f"slurm_{k}": v for k, v in plain.items() if v is not None}
        # A rank that fails ends the others, which would wait for it.
        executor.update_parameters(slurm_srun_args=["--kill-on-bad-exit=1"], **named)
        Path(self._folder).parent.mkdir(parents=True, exist_ok=True)
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        state = Singleton.get_state()
        jobs = executor.map_array(
            self._job,
            [list(overrides) for overrides in job_overrides],
            ["hydra.sweep.dir"] * len(job_overrides),
            list(numbers),
            [f"job_id_for_{number}" for number in numbers],
            [state] * len(job_overrides),
        )
        while not all(job.done() for job in jobs):
            SIGNALS.ask()
            sleep(POLL_SECONDS)
        return [_end(job) for job in jobs]


def _end(job: Any) -> JobReturn:
    """Return the result of a job's first task, or the error that ended it."""
    try:
        found: JobReturn = job.task(0).result()
        return found
    except Exception as error:  # The job's own, or submitit's for a cancelled job.
        end = JobReturn()
        end.status, end.return_value = JobStatus.FAILED, error
        return end
