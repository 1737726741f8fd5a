"""The loaders that compose the jobs of a sweep, some of them inside a launcher's processes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from filelock import Timeout
from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig

from fokker.config.compose import in_words
from fokker.config.early import check_early
from fokker.config.hydra_node import check_hydra
from fokker.config.signatures import Signatures
from fokker.launch.launchers import check_launcher
from fokker.machine.signals import SIGNALS
from fokker.machine.start import Start
from fokker.store.job_folders import job_lock, record_failure
from fokker.sweeps.check import REFUSALS


@final
class WholeLoader:
    """A loader that no signal stops in the middle of composing.

    Hydra and OmegaConf would then fail with their own errors. In everything else it is hydra's
    loader.

    Args:
        loader: hydra's loader.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # Unpickling asks for names before there is a loader.
            raise AttributeError(name)
        return getattr(self._loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> Any:
        """Compose a job's configuration, and let signals wait until then."""
        with SIGNALS.deferred():
            return self._loader.load_sweep_config(master_config, sweep_overrides)


@final
class JobLoader:
    """A loader that records a job with a wrong configuration as failed, and lets the others go on.

    It runs in the process of the job, so that the sweep need not compose all jobs before the first
    one starts. In everything else it is hydra's loader.

    Args:
        loader: hydra's loader.
        launcher: the class name of the launcher.
    """

    def __init__(self, loader: ConfigLoader, launcher: str) -> None:
        self._loader, self._launcher = loader, launcher

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # Unpickling asks for names before there is a loader.
            raise AttributeError(name)
        return getattr(self._loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> Any:
        """Return a job's configuration; if it is wrong, record that and return another one.

        The other one has only the overrides that name the job's folder. The job is not run then,
        because the folder has a record.

        Raises:
            ValueError: if the configuration is wrong in a plan, which writes nothing.
        """
        try:
            config = self._loader.load_sweep_config(master_config, sweep_overrides)
            check_hydra(config)
            check_early(config, config.hydra.runtime.config_sources, Signatures())
            check_launcher(self._launcher, master_config.hydra.launcher, config.trainer)
            return config
        except REFUSALS as error:
            SIGNALS.ask()  # It may only be what a library made of a signal.
            if master_config.task == "plan":
                raise
            # The last two overrides name the folder.
            own, places = sweep_overrides[:-2], sweep_overrides[-2:]
            config = self._loader.load_sweep_config(master_config, places)
            if Start.here().rank == 0:
                place = config.hydra.sweep
                record_refusal(Path(place.dir, place.subdir), error, 0.0, own)
            return config


def record_refusal(path: Path, error: Exception, seconds: float, overrides: Sequence[str]) -> None:
    """Record in a job's folder why it could not be begun, unless a process runs it."""
    try:
        with job_lock(path).acquire(timeout=1, poll_interval=0.01):
            said = in_words(error, overrides)
            record_failure(path, said, seconds, overrides=list(overrides))
    except Timeout:
        pass
