"""One job of the command line or of the Python API."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

import torch
from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fokker.cli import slurm
from fokker.cli.build import build_experiment
from fokker.cli.choices import Choices
from fokker.cli.environment import number
from fokker.cli.gpus import claim
from fokker.cli.joining import build_alike
from fokker.cli.mistakes import of_value
from fokker.cli.start import asked_ranks, cores_of_rank
from fokker.cli.study import Study
from fokker.cli.sweep_jobs import job_lock, record_failure
from fokker.cli.targets import find_own
from fokker.cli.trials import watcher
from fokker.device import described
from fokker.disk import (
    DiskError,
    check_writable,
    make_folder,
    open_to_append,
    remove_empty,
    writing,
)
from fokker.experiment import Experiment, Result
from fokker.experiment import run as run_experiment
from fokker.experiment.estimate import estimate
from fokker.experiment.fit import is_far_enough
from fokker.experiment.needs import check_room
from fokker.experiment.run import division
from fokker.experiment.sample import is_out_of_memory
from fokker.experiment.watching import Pruned, Watch
from fokker.masking import masked
from fokker.progress import print_now
from fokker.ranks import ALONE, LostRank, Ranks
from fokker.records import record_or_why
from fokker.signals import HEARD, SIGNALS, Interrupted

# Below this many multiplications a step, a second thread costs more than it gives.
SMALL_STEP = 5e8
# Exit codes after a signal, which ends a sweep; any other exit is a job's own failure.
SIGNALLED = tuple(128 + number for number in HEARD)


def run_job(
    config: DictConfig,
    choices: Choices,
    path: Path,
    say: Callable[[str], None] = print_now,
    watch: Watch | None = None,
    ranks: Ranks = ALONE,
) -> Result | None:
    """Build, check and carry out a job in the run's folder `path`; nothing to return for a plan.

    Raises:
        ValueError: for a configuration that cannot be; then nothing is written.
        Pruned: if `watch` ends the training.
    """
    find_own(config.allow_targets)
    if ranks.size == 1 and config.trainer.get("accelerator") != "cpu":
        claim(1)
    try:
        made = build_alike(config, choices, path, ranks)
        facts = {**made.task.facts, **facts_of_sweep(path), **slurm.facts()}
        task = replace(made.task, watch=watch, facts=facts, stopped=slurm.when_stopped)
        experiment = replace(made, task=task)
        if config.task != "plan" and ranks.is_first:
            check_writable(path)
            check_room(path, experiment)
            if made.model.trains and made.checkpoint is None:
                check_writable(made.task.folder.path)
    except BaseException as error:
        if ranks.is_first:
            remove_empty(path, Path(str(config.output_dir)))
        if isinstance(error, OmegaConfBaseException):
            raise ValueError(of_value(error)) from error
        if isinstance(error, Exception) and is_out_of_memory(error):
            raise ValueError(
                f"the memory must hold the network and the data, and does not: {error}; make "
                "network.width, network.depth, sampler.num_steps or the like smaller"
            ) from error
        raise
    if config.task == "plan":
        if ranks.is_first:
            remove_empty(path, Path(config.output_dir))
            say(plan(experiment))
        return None
    keep_freed_memory()
    with threads(experiment):
        return run_experiment(experiment, path, say)


def plan(experiment: Experiment) -> str:
    """Which model would be trained or is found, and what is sampled."""
    folder, model = experiment.task.folder, experiment.model
    max_steps = experiment.task.config["trainer"]["max_steps"]
    if not model.trains:
        state = "exact: the ideal denoiser, nothing to train"
    elif experiment.checkpoint is not None:
        state = f"loaded from {experiment.checkpoint}"
    elif folder.is_complete and not experiment.task.retrain:
        state = f"found: was trained for {folder.steps_done} steps"
    elif is_far_enough(folder, experiment.task):
        state = f"found: stopped early at step {folder.steps_done} of {max_steps}"
    elif folder.steps_done and not folder.is_complete:
        state = f"unfinished: would go on at step {folder.steps_done} of {max_steps}"
    else:
        state = f"new: would be trained for {max_steps} steps of {model.data.batch_size} images"
        if experiment.task.predecessor is not None:
            begun = experiment.task.predecessor.step
            state += f", from step {begun} of {experiment.task.predecessor.name} on"
    is_trained = not model.trains or experiment.checkpoint is not None or state.startswith("found")
    if experiment.task.engine.limits.words and not is_trained:
        state += f", and ended early by {experiment.task.engine.limits.words}"
    parameters = sum(p.numel() for p in model.network.parameters())
    size = asked_ranks(OmegaConf.create(experiment.task.config["trainer"]))
    ranks = [f"         by {division(model.data.batch_size, size)}"] if size > 1 else []
    first = experiment.task.earlier
    earlier = [] if first is None else [f"         made from {first.folder.path}"]
    lines = [
        f"model    {folder.path if model.trains else 'none'}",
        f"         {state}",
        *earlier,
        *ranks,
        f"         {parameters:,} parameters",
        f"data     {model.data.described()}",
    ]
    if not is_trained:
        lines.append(f"estimate {_estimated(experiment, size)}")
    for way in experiment.plan.ways:
        steps = "its own steps" if way.num_steps is None else f"{way.num_steps} steps"
        others = [f"{group} {label}" for group, label in way.labels.items()][1:]
        where = "{} {:.4g} to {:.4g}".format(model.axis.name, *way.ends)
        words = ", ".join([way.name, steps, where, *others])
        lines.append(f"samples  {experiment.plan.num_samples} by {words}")
    return "\n".join(lines)


def _estimated(experiment: Experiment, size: int) -> str:
    """Measure in a few steps how long the rest of the training would take here."""
    begun = experiment.task.predecessor.step if experiment.task.predecessor else 0
    left = experiment.task.engine.max_steps - (experiment.task.folder.steps_done or begun)
    with threads(experiment):
        where = described(experiment.task.device)
        try:
            text = estimate(experiment, size).text(left * experiment.model.data.batch_size, size)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            text = "a step does not fit into memory; set a smaller trainer.device_batch_size"
    ranks = f"{size} ranks, each " if size > 1 else ""
    return f"on {ranks}{where}: {text}"


def run_in_sweep(
    config: DictConfig, choices: Choices, path: Path, ranks: Ranks = ALONE
) -> bool:
    """One job of a sweep, whose failure is recorded in its folder and ends nothing else.

    What it says goes to output.txt there. What a living process runs by now, or has run in this
    folder, is left alone, unless it is this same job of a scheduler, which was requeued.

    Returns:
        whether it was run here.
    """
    make_folder(path)  # Which is no link of another's.
    lock = job_lock(path)
    if not ranks.first_says(lambda: _take(lock, path)):
        return False
    try:
        if not ranks.is_first:
            with open(os.devnull, "w") as nobody:
                _run_recorded(config, choices, path, ranks, nobody)
        else:
            file = path / "output.txt"
            with writing(file), open_to_append(file) as output:
                _run_recorded(config, choices, path, ranks, output)
    finally:
        if ranks.is_first:
            _leave_nothing_empty(path)
            lock.release()
    return True


def _leave_nothing_empty(path: Path) -> None:
    """Take away the folder of a job that a signal has ended before there was a record."""
    file = path / "output.txt"
    with suppress(OSError):
        if not (path / "run.json").exists() and file.stat().st_size == 0:
            file.unlink()
            path.rmdir()


def _take(lock: FileLock, path: Path) -> bool:
    """Hold a job that nobody holds and that is not done."""
    # Not at once: who looks whether a job is held holds it for a moment.
    with suppress(Timeout):
        lock.acquire(timeout=0.2, poll_interval=0.01)
        record, _ = record_or_why(path / "run.json")
        if not (path / "run.json").is_file() or slurm.is_requeued(record):
            return True
        lock.release()
    return False


def _run_recorded(
    config: DictConfig, choices: Choices, path: Path, ranks: Ranks, output: TextIO
) -> None:
    started = perf_counter()

    def say(text: str) -> None:
        with writing(path / "output.txt"):
            print(masked(text), file=output, flush=True)

    try:
        # The curve is seen by the first rank, which decides for all.
        watch = watcher(path) if ranks.is_first else None
        if ranks.first_says(lambda: watch is not None) and watch is None:
            watch = _unasked
        with SIGNALS.raised():
            run_job(config, choices, path, say, watch, ranks)
    except Pruned as stop:
        print(f"pruned   {stop}", file=output)
    except Interrupted as stop:
        if ranks.is_first:
            print(f"fokker: {stop}", file=sys.stderr)
        raise SystemExit(stop.code) from stop  # It is said.
    except DiskError:  # It would refuse the other jobs too.
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code in SIGNALLED:
            raise
        if ranks.is_first:
            seconds = perf_counter() - started
            record_failure(path, error, seconds, overrides=list(choices.overrides))
        if isinstance(error, LostRank):
            raise SystemExit(1) from error


def _unasked(metrics: Mapping[str, Any], step: int) -> bool:
    return False


def facts_of_sweep(path: Path) -> dict[str, Any]:
    """The sweep of the job in `path`, and the job's values of the swept keys; nothing without."""
    job = Study.read(path.parent).job_in(path)
    return {} if job is None else {"sweep": path.parent.name, "swept": job.swept}


def built(config: DictConfig) -> Experiment:
    """The checked experiment of a composed configuration with hydra's own node.

    It is not to be run: the job may run on another machine, which has the GPU and the cores.
    """
    hydra = config.hydra
    choices = Choices(
        dict(hydra.runtime.choices), hydra.runtime.config_sources, hydra.overrides.task
    )
    plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    if plain.trainer.get("accelerator") == "gpu":
        plain.trainer.accelerator = "auto"
    find_own(plain.allow_targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build_experiment(plain, choices)


def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MB of what is freed, for the next step; it does by itself, later.

    At first it gives blocks of 128 kB and more back to the system, whose pages then come anew at
    each step: with 1,024 rows of 128 numbers a training took 1.3 times as long. The largest block
    freed so far sets its limits, so free one of nearly 32 MB, of which no page is touched.
    """
    torch.empty(2**25 - 2**13, dtype=torch.uint8)


@contextmanager
def threads(experiment: Experiment) -> Iterator[None]:
    """A rank's share of the cores, and one thread for small steps, unless OMP_NUM_THREADS says."""
    before = torch.get_num_threads()
    ranks = experiment.task.ranks
    parameters = sum(p.numel() for p in experiment.model.network.parameters())
    small = 3 * parameters * experiment.model.data.batch_size < SMALL_STEP * ranks.size
    if not number(os.environ, "OMP_NUM_THREADS", 0):
        torch.set_num_threads(1 if small else min(before, cores_of_rank(ranks.local_size)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
