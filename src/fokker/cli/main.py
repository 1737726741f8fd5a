"""The command `fokker`. Nothing heavy is imported before it is needed."""

import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from fokker import __version__
from fokker.cli.compose import (
    composed,
    config_dir,
    override_key,
    refuse,
    register_resolvers,
    with_inherited,
)
from fokker.cli.output import patient_output
from fokker.cli.tasks import carry_out, task_of

MULTIRUN = ("-m", "--multirun")


def main() -> None:
    """Run `fokker [overrides]`."""
    with patient_output():
        _main()


def _main() -> None:
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        print(f"fokker {__version__}")
        return
    task = task_of(arguments)
    if task is not None:
        try:
            carry_out(task, arguments)
        except ValueError as error:
            refuse(error)
        return
    overrides = [a for a in arguments if a[:1] != "-" and ("=" in a or a[:1] == "~")]
    flags = [a for a in arguments if a not in overrides]
    try:
        # A checkpoint brings the overrides that it was trained with.
        overrides = with_inherited(overrides)
        if set(flags) <= set(MULTIRUN):
            is_sweep = bool(flags) or any(override_key(o) == "sweeps" for o in overrides)
            # Hydra shows the way through its own code for some mistakes; here they are a message.
            with composed(overrides, is_sweep) as config:
                str(config.hydra.run.dir)
    except ValueError as error:
        refuse(error)
    # Hydra reads sys.argv itself, and finds no override behind a flag that stands behind one.
    sys.argv[1:] = [*overrides, *flags]
    register_resolvers()
    hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")(_task)()


def _task(config: DictConfig) -> bool | None:
    import warnings

    from fokker.cli.evaluations import Choices
    from fokker.cli.job import run_in_sweep, run_job

    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    settings = HydraConfig.get()
    choices = Choices(
        dict(settings.runtime.choices), settings.runtime.config_sources, settings.overrides.task
    )
    path = Path(settings.runtime.output_dir)
    if settings.mode == RunMode.MULTIRUN and config.task != "plan":
        # Whether it was run here is what the sweep is told.
        return run_in_sweep(config, choices, path)
    from fokker.experiment import InterruptedTraining
    from fokker.formulations import DivergedError

    try:
        run_job(config, choices, path)
    except InterruptedTraining as stop:
        print(f"fokker: {stop}", file=sys.stderr)
        raise
    except (ValueError, DivergedError) as error:
        if settings.mode == RunMode.MULTIRUN or "HYDRA_FULL_ERROR" in os.environ:
            raise
        refuse(error)
    return None
