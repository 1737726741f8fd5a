"""What composes the jobs of a launcher that runs many at once."""

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
    """A loader that is not stopped in the middle: hydra and OmegaConf fail then with errors of
    their own. In everything else it is hydra's.

    Args:
        loader: hydra's.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # As of one that is being unpickled.
            raise AttributeError(name)
        return getattr(self._loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> Any:
        """Compose a job's configuration."""
        with SIGNALS.deferred():
            return self._loader.load_sweep_config(master_config, sweep_overrides)


@final
class JobLoader:
    """A loader whose jobs that cannot be are recorded as failed, and take no others with them.

    It stands in the process of the job, so that the sweep need not compose all of them before the
    first one starts. In everything else it is hydra's.

    Args:
        loader: hydra's.
        launcher: name of its class.
    """

    def __init__(self, loader: ConfigLoader, launcher: str) -> None:
        self._loader, self._launcher = loader, launcher

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # As of one that is being unpickled.
            raise AttributeError(name)
        return getattr(self._loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> Any:
        """A job's configuration; of one that cannot be another one, whose folder says it has run.

        Raises:
            ValueError: for a plan, which writes nothing.
        """
        try:
            config = self._loader.load_sweep_config(master_config, sweep_overrides)
            check_hydra(config)
            check_early(config, config.hydra.runtime.config_sources, Signatures())
            check_launcher(self._launcher, master_config.hydra.launcher, config.trainer)
            return config
        except REFUSALS as error:
            if master_config.task == "plan":
                raise
            # The last two name the folder.
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
