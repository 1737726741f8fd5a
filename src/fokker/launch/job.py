"""One job of the command line or of the Python API."""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fokker.config.build import build_experiment
from fokker.config.choices import Choices
from fokker.config.mistakes import of_value
from fokker.config.targets import find_own
from fokker.experiment import Experiment, Result
from fokker.experiment import run as run_experiment
from fokker.experiment.experiment import division
from fokker.experiment.needs import check_room
from fokker.launch import slurm
from fokker.launch.joining import build_alike
from fokker.machine.device import described, is_out_of_memory
from fokker.machine.environment import number
from fokker.machine.folders import check_writable, remove_empty
from fokker.machine.gpus import claim
from fokker.machine.progress import print_now
from fokker.machine.ranks import ALONE, Ranks
from fokker.machine.signals import HEARD
from fokker.machine.start import asked_ranks, cores_of_rank
from fokker.training.estimate import estimate
from fokker.training.watching import Watch

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
    facts: Mapping[str, object] | None = None,
) -> Result | None:
    """Build, check and carry out a job in the run's folder `path`; return None for a plan.

    Args:
        facts: the facts for the run's record, besides the experiment's.
    Raises:
        ValueError: for an invalid configuration; nothing is written then.
        Pruned: if `watch` ends the training.
    """
    find_own(config.allow_targets)
    if ranks.size == 1 and config.trainer.get("accelerator") != "cpu":
        claim(1)
    try:
        made = build_alike(config, choices, path, ranks)
        known = {**made.task.facts, **(facts or {}), **slurm.facts()}
        experiment = made.with_task(watch=watch, facts=known, stopped=slurm.when_stopped)
        if config.task != "plan" and ranks.is_first:
            check_writable(path)
            check_room(path, experiment)
            experiment.origin.check()
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
    """Describe the model that would be trained or is found, and what is sampled."""
    origin, model = experiment.origin, experiment.model
    parameters = sum(p.numel() for p in model.network.parameters())
    size = asked_ranks(OmegaConf.create(experiment.task.config["trainer"]))
    ranks = [f"         by {division(model.data.batch_size, size)}"] if size > 1 else []
    first = experiment.task.earlier
    earlier = [] if first is None else [f"         made from {first.place or first.words}"]
    lines = [
        f"model    {experiment.task.folder.path if origin.place else 'none'}",
        f"         {origin.state}",
        *earlier,
        *ranks,
        f"         {parameters:,} parameters",
        f"data     {model.data.described()}",
    ]
    if not origin.is_ready:
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
            speed = estimate(experiment.task, size)
            text = speed.text(left * experiment.model.data.batch_size, size)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            text = "a step does not fit into memory; set a smaller trainer.device_batch_size"
    ranks = f"{size} ranks, each " if size > 1 else ""
    return f"on {ranks}{where}: {text}"


def built(config: DictConfig) -> Experiment:
    """Build and check the experiment of a composed configuration with hydra's own node.

    It must not be run here: the job may run on another machine, which has the GPU and the cores.
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
    """Let glibc keep up to 64 MB of freed memory for the next step; by itself it does so later.

    At first it gives blocks of 128 kB and more back to the system, whose pages then come anew at
    each step: with 1,024 rows of 128 numbers a training took 1.3 times as long. The largest block
    freed so far sets its limits, so this frees one of nearly 32 MB, of which no page is touched.
    """
    torch.empty(2**25 - 2**13, dtype=torch.uint8)


@contextmanager
def threads(experiment: Experiment) -> Iterator[None]:
    """Set a rank's share of the cores, or one thread for small steps; OMP_NUM_THREADS wins."""
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
