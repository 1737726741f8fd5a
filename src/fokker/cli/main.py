"""The command `fokker`. Nothing heavy is imported before it is needed."""

import sys
import warnings
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from fokker import __version__, doctor
from fokker.cli.flags import CommandLine, read_flags
from fokker.cli.tasks import carry_out, task_of
from fokker.config.agents import check_agents_parameters
from fokker.config.compose import (
    composed,
    config_dir,
    meant_overrides,
    refuse,
    register_resolvers,
    run_name,
)
from fokker.config.early import check_early
from fokker.config.signatures import Signatures
from fokker.launch.slurm import earlier_run, ignore_while_starting
from fokker.machine.disk import DiskError
from fokker.machine.ending import ending
from fokker.machine.environment import FULL_ERROR, is_on, without_empty
from fokker.machine.folders import check_writable, make_folder, remove_empty
from fokker.machine.orphans import end_with_sweep
from fokker.machine.output import patient_output
from fokker.machine.signals import SIGNALS, STOPS
from fokker.machine.start import Start, asked_ranks, check_alone
from fokker.overrides import read


def main() -> None:
    """Run `fokker [overrides]`."""
    with patient_output(), ending(), ExitStack() as numbers:
        _main(numbers)


def _main(numbers: ExitStack) -> None:
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        print(f"fokker {__version__}")
        return
    try:
        check_agents_parameters()
        task = task_of(arguments)
        if task is not None:
            carry_out(task, arguments)
            return
        numbers.enter_context(without_empty())
        start = Start.here()
    except (ValueError, OSError) as error:
        refuse(error)
    # Hydra warns that conf/hydra/launcher/submitit_slurm.yaml has the name of its package's own.
    warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/.*validated against ConfigStore")
    ignore_while_starting()
    try:
        given = read_flags(arguments)
        if given.begins and doctor.is_asked(given.overrides):
            if not doctor.doctor([*given.overrides, *given.search], _is_sweep(given)):
                raise SystemExit(1)
            return
        overrides, name, made = _checked(given, start)
    except (ValueError, OSError) as error:
        refuse(error, start)
    # Hydra reads sys.argv itself, and misses overrides that a flag separates: flags go last.
    sys.argv[1:] = [*([] if "--hydra-help" in given.flags else overrides), *given.words]
    register_resolvers(name)
    command = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")
    try:
        with SIGNALS.deferred():  # The task itself and a sweep raise at once.
            command(_task)()
    except STOPS:
        if made:
            remove_empty(*made)  # Those in which nothing is written yet.
        raise


def _is_sweep(given: CommandLine) -> bool:
    """Return whether a command asks for several runs, by -m or by a study."""
    is_study = any(read(override).name == "sweeps" for override in given.overrides)
    return is_study or "--multirun" in given.flags


def _checked(given: CommandLine, start: Start) -> tuple[list[str], str, list[Path]]:
    """Check the overrides before hydra does, which prints a traceback for some mistakes.

    They are checked whatever hydra does with them: its help sets up its logging too.

    Returns:
        the overrides with those that a checkpoint brings, the name of the run's folder, and the
        folders made for it.
    """
    overrides, name, is_sweep = list(given.overrides), run_name(), _is_sweep(given)
    is_completion = "--shell-completion" in given.flags
    if not (given.begins or "--cfg" in given.flags or overrides):
        return overrides, name, []
    typed = given.search if is_completion else [*overrides, *given.search]
    with composed(typed, is_sweep, name, is_shown=not given.begins) as config:
        given.check_shown(config)
        if not is_completion:
            overrides = meant_overrides(config)
        if not given.begins:
            return overrides, name, []
        return overrides, *_prepare(config, start, is_sweep, name, overrides)


def _prepare(
    config: DictConfig, start: Start, is_sweep: bool, name: str, overrides: list[str]
) -> tuple[str, list[Path]]:
    """Return the name of a run's folder, that of an earlier start if any, and folders made."""
    place = Path(config.hydra.sweep.dir if is_sweep else config.hydra.run.dir)
    check_writable(place)  # Hydra makes the folder, also for a plan.
    models = Path(config.output_dir, "models")
    if models.is_symlink() and not models.is_dir():
        raise ValueError(f"{models} must be a folder, and is a link that leads to none")
    earlier = None if is_sweep else earlier_run(Path(config.output_dir, "runs"), overrides)
    if start.size > 1:
        return _agreed_name(start, config, is_sweep, earlier or name), []
    if earlier is None and config.task == "run" and not is_sweep:
        make_folder(place)  # Made here, for hydra has no message for a full disk.
        return name, [place, Path(config.output_dir)]
    return earlier or name, []


def _agreed_name(start: Start, config: DictConfig, is_sweep: bool, name: str) -> str:
    """Agree on the name of the one run folder of ranks that torchrun or srun has started."""
    if is_sweep:
        raise ValueError(
            f"a sweep starts the ranks of its jobs itself, and {start.by} has started "
            f"{start.size} sweeps; leave {start.by} out: fokker -m trainer=ddp ..., or "
            "hydra/launcher=submitit_slurm"
        )
    start.check(config.trainer)  # Before torch is imported.
    from fokker.launch.joining import join

    return join(start, config).first_says(lambda: name)


def _task(config: DictConfig) -> bool | None:
    with SIGNALS.raised():
        return _task_of_job(config)


def _task_of_job(config: DictConfig) -> bool | None:
    end_with_sweep()
    from fokker.config.choices import Choices
    from fokker.launch.launch import RankDied, launch
    from fokker.store.job_folders import record_failure

    settings = HydraConfig.get()
    choices = Choices(
        dict(settings.runtime.choices), settings.runtime.config_sources, settings.overrides.task
    )
    path, is_sweep = Path(settings.runtime.output_dir), settings.mode == RunMode.MULTIRUN
    start, started = Start.here(), perf_counter()
    try:
        check_early(config, choices.sources, Signatures())
        if start.size == 1 and config.task != "plan":
            start.check(config.trainer)
            if start.by == "fokker":
                check_alone(config.trainer)
            size = asked_ranks(config.trainer)
            if size > 1:
                return launch(config, choices, path, size, is_sweep)
    except RankDied as error:
        record_failure(path, error, perf_counter() - started, overrides=list(choices.overrides))
        if is_sweep:
            return True
        refuse(error)
    except ValueError as error:
        if is_sweep or is_on(FULL_ERROR):
            raise
        remove_empty(path, Path(str(config.output_dir)))
        refuse(error)
    # A sweep is told whether the job was run here.
    return as_rank(config, choices, path, is_sweep and config.task != "plan")


def as_rank(config: DictConfig, choices: Any, path: Path, in_sweep: bool) -> bool | None:
    """Carry out a job in this process, one of its ranks or the only one.

    Returns:
        in a sweep, whether the job was run here; else None.
    """
    from fokker.data import LostWorker
    from fokker.launch.job import run_job
    from fokker.launch.joining import join
    from fokker.machine.ranks import LostRank
    from fokker.search.pruning import watcher
    from fokker.sweeps.running import run_in_sweep
    from fokker.training import DivergedError

    start = Start.here()

    def warn(message: Warning | str, *_: object, **__: object) -> None:
        if start.rank == 0:
            print(f"warning: {message}", file=sys.stderr)

    warnings.showwarning = warn
    try:
        ranks = join(start, config)
        if in_sweep:
            return run_in_sweep(config, choices, path, ranks, watcher)
        run_job(config, choices, path, ranks=ranks)
    except DiskError as error:  # Ends a sweep too: its other jobs would fail as well.
        refuse(error, start)
    except (ValueError, DivergedError, LostRank, LostWorker) as error:
        if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
            raise
        if is_on(FULL_ERROR):
            raise
        refuse(error, None if isinstance(error, LostRank) else start)
    return None
