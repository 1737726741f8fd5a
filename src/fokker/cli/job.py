"""One job of the command line or of the Python API."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

import numpy as np
import torch
from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fokker.cli import slurm
from fokker.cli.build import build_data, build_experiment, build_model
from fokker.cli.choices import Choices
from fokker.cli.compose import composed, with_inherited
from fokker.cli.gpus import claim
from fokker.cli.instantiate import Builder
from fokker.cli.launch import launch
from fokker.cli.start import Start, asked_ranks, check_alone, cores
from fokker.cli.sweep_jobs import job_lock, record_failure, short_hash
from fokker.cli.trials import watcher
from fokker.experiment import Experiment, Interrupted, Result, find_checkpoint, load_model
from fokker.experiment import run as run_experiment
from fokker.experiment.files import read_json
from fokker.experiment.identity import versions
from fokker.experiment.run import division
from fokker.experiment.watching import Pruned, Watch
from fokker.formulations import Diffusion
from fokker.ranks import ALONE, LostRank, Ranks

# Below this many multiplications a step, a second thread costs more than it gives.
SMALL_STEP = 5e8
# Exit codes after a signal, which ends a sweep; any other exit is a job's own failure.
SIGNALLED = (128 + signal.SIGINT, 128 + signal.SIGTERM)


def run_job(
    config: DictConfig,
    choices: Choices,
    path: Path,
    say: Callable[[str], None] = print,
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
        made = _build_alike(config, choices, path, ranks)
        facts = {**made.facts, **facts_of_sweep(path), **slurm.facts()}
        experiment = replace(made, watch=watch, facts=facts, stopped=slurm.when_stopped)
    except BaseException as error:
        if ranks.is_first:
            remove_empty(path, Path(str(config.output_dir)))
        if isinstance(error, OmegaConfBaseException):
            key = f"{error.full_key}: " if error.full_key else ""
            raise ValueError(f"{key}{str(error).splitlines()[0]}") from error
        raise
    if config.task == "plan":
        if ranks.is_first:
            remove_empty(path, Path(config.output_dir))
            say(plan(experiment))
        return None
    with threads(experiment):
        return run_experiment(experiment, path, say)


def _build_alike(config: DictConfig, choices: Choices, path: Path, ranks: Ranks) -> Experiment:
    """The experiment, which every rank builds for itself and from the same configuration.

    Raises:
        ValueError: if one of them cannot, or the configurations differ.
    """
    made, error = None, None
    try:
        made = build_experiment(config, choices, ranks)
    except Exception as wrong:
        error = wrong
    if ranks.size > 1:
        errors = ranks.collected(None if error is None else f"{type(error).__name__}: {error}")
        if error is None and any(errors):
            rank, text = next((r, text) for r, text in enumerate(errors) if text)
            raise ValueError(f"rank {rank} cannot begin: {text}")
        _check_same_configuration(made, path, ranks)
    if made is None:
        raise error or ValueError("nothing was built")
    return made


def _check_same_configuration(made: Experiment | None, path: Path, ranks: Ranks) -> None:
    """Refuse ranks that would do different things."""
    if made is None:
        return
    parts = {
        "configuration": made.config_text,
        "model, data or classes": str(made.folder.path.resolve()),
        "run folder": str(path.resolve()),
        "version of fokker": versions()["fokker"],
    }
    known = ranks.collected({name: short_hash([text]) for name, text in parts.items()})
    for rank, other in enumerate(known):
        for name, digest in other.items():
            if digest != known[0][name]:
                raise ValueError(
                    f"all ranks must have the same {name}, and rank {rank} has another one "
                    f"({digest}) than rank 0 ({known[0][name]}); start all by one command, in one "
                    "folder that all of them see"
                )


def join(start: Start, config: DictConfig) -> Ranks:
    """The ranks that this process is one of, once they have found each other.

    Raises:
        ValueError: if others were started than the configuration asks for.
    """
    start.check(config.trainer)
    if start.size == 1:
        return ALONE
    start.say()
    is_cuda = config.trainer.get("accelerator") != "cpu" and torch.cuda.is_available()
    if is_cuda:
        torch.cuda.set_device(start.local_rank)
    return Ranks.join("cuda" if is_cuda else "cpu")


def find_own(allow_targets: Sequence[str]) -> None:
    """Let packages in the current folder be found, where a console script does not look."""
    if allow_targets and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def plan(experiment: Experiment) -> str:
    """Which model would be trained or is found, and what is sampled."""
    folder, model = experiment.folder, experiment.model
    max_steps = experiment.config["trainer"]["max_steps"]
    if model.is_exact:
        state = "exact: the ideal denoiser, nothing to train"
    elif experiment.checkpoint is not None:
        state = f"loaded from {experiment.checkpoint}"
    elif folder.is_complete and not experiment.retrain:
        state = f"found: was trained for {folder.steps_done} steps"
    elif folder.steps_done and not folder.is_complete:
        state = f"unfinished: would go on at step {folder.steps_done} of {max_steps}"
    else:
        state = f"new: would be trained for {max_steps} steps of {model.data.batch_size} images"
    parameters = sum(p.numel() for p in model.denoiser.parameters())
    size = asked_ranks(OmegaConf.create(experiment.config["trainer"]))
    ranks = [f"         by {division(model.data.batch_size, size)}"] if size > 1 else []
    lines = [
        f"model    {'none' if model.is_exact else folder.path}",
        f"         {state}",
        *ranks,
        f"         {parameters:,} parameters, data of shape {model.data.shape}",
    ]
    for sampling in experiment.samplings:
        nodes = sampling.nodes.tolist()
        steps = "its own steps" if sampling.num_steps is None else f"{sampling.num_steps} steps"
        lines.append(
            f"samples  {experiment.num_samples} by {sampling.name}, {steps}, "
            f"sigma {nodes[0]:.4g} to {nodes[-2]:.4g}, grid {sampling.grid_name}"
        )
    return "\n".join(lines)


def run_in_sweep(
    config: DictConfig, choices: Choices, path: Path, ranks: Ranks = ALONE
) -> bool:
    """One job of a sweep, whose failure is recorded in its folder and ends nothing else.

    What it says goes to output.txt there. What a living process runs by now, or has run in this
    folder, is left alone, unless it is this same job of a scheduler, which was requeued.

    Returns:
        whether it was run here.
    """
    lock = job_lock(path)
    if not ranks.first_says(lambda: _take(lock, path)):
        return False
    try:
        if not ranks.is_first:
            with open(os.devnull, "w") as nobody:
                _run_recorded(config, choices, path, ranks, nobody)
        else:
            with (path / "output.txt").open("a", encoding="utf-8") as output:
                _run_recorded(config, choices, path, ranks, output)
    finally:
        if ranks.is_first:
            lock.release()
    return True


def _take(lock: FileLock, path: Path) -> bool:
    """Hold a job that nobody holds and that is not done."""
    # Not at once: who looks whether a job is held holds it for a moment.
    with suppress(Timeout):
        lock.acquire(timeout=0.2, poll_interval=0.01)
        if not (path / "run.json").is_file() or slurm.is_requeued(read_json(path / "run.json")):
            return True
        lock.release()
    return False


def _run_recorded(
    config: DictConfig, choices: Choices, path: Path, ranks: Ranks, output: TextIO
) -> None:
    started = perf_counter()
    try:
        # The curve is seen by the first rank, which decides for all.
        watch = watcher(path) if ranks.is_first else None
        if ranks.first_says(lambda: watch is not None) and watch is None:
            watch = _unasked
        run_job(
            config, choices, path, lambda text: print(text, file=output, flush=True), watch, ranks
        )
    except Pruned as stop:
        print(f"pruned   {stop}", file=output)
    except Interrupted as stop:
        if ranks.is_first:
            print(f"fokker: {stop}", file=sys.stderr)
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
    key = path.name.partition(".")[0]
    for job in read_json(path.parent / "jobs.json").get("jobs", []):
        if job["key"] == key:
            return {"sweep": path.parent.name, "swept": job["swept"]}
    return {}


def built(config: DictConfig) -> Experiment:
    """The checked experiment of a composed configuration with hydra's own node."""
    hydra = config.hydra
    choices = Choices(
        dict(hydra.runtime.choices), hydra.runtime.config_sources, hydra.overrides.task
    )
    plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    find_own(plain.allow_targets)
    return build_experiment(plain, choices)


@contextmanager
def threads(experiment: Experiment) -> Iterator[None]:
    """A rank's share of the cores, and one thread for small steps, unless OMP_NUM_THREADS says."""
    before = torch.get_num_threads()
    ranks = experiment.ranks
    parameters = sum(p.numel() for p in experiment.model.denoiser.parameters())
    small = 3 * parameters * experiment.model.data.batch_size < SMALL_STEP * ranks.size
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1 if small else max(1, min(before, cores() // ranks.local_size)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def remove_empty(path: Path, output_dir: Path) -> None:
    """Take away a run's folder that was made for nothing, and those above it up to output_dir."""
    path, top = path.resolve(), output_dir.resolve()
    above = [folder for folder in path.parents if folder == top or top in folder.parents]
    with suppress(OSError):
        for folder in (path, *above):
            if folder == Path.cwd():
                return
            folder.rmdir()


def run(overrides: Sequence[str] = ()) -> Result:
    """What `fokker OVERRIDES` does, from Python.

    Args:
        overrides: as on the command line, such as `["data=uniform", "trainer.max_steps=500"]`.
    Returns:
        metrics, samples, model and path.
    Raises:
        ValueError: for a configuration that cannot be, or `task=plan`, which gives no result.
    """
    if isinstance(overrides, str):
        raise ValueError(f"overrides must be a list, such as [{overrides!r}], got one text")
    full = with_inherited(overrides)
    with composed(full) as config:
        hydra = config.hydra
        path = Path(hydra.run.dir)
        choices = Choices(dict(hydra.runtime.choices), hydra.runtime.config_sources, full)
        plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        size = asked_ranks(plain.trainer)
        if size == 1 or plain.task == "plan":
            result = run_job(plain, choices, path)
        else:
            check_alone(plain.trainer)
            result = _run_by_ranks(plain, choices, path, size)
    if result is None:
        raise ValueError("task must be run to give a result, got plan")
    return result


def _run_by_ranks(config: DictConfig, choices: Choices, path: Path, size: int) -> Result:
    """A run in several processes, of which this is none, and what its record says."""
    try:
        launch(config, choices, path, size)
    except SystemExit as end:
        if end.code in SIGNALLED:
            raise
        why = read_json(path / "run.json").get("error", "what was wrong stands above")
        raise ValueError(f"the {size} ranks have failed: {why}") from end
    samples = torch.from_numpy(np.load(path / "samples.npz")["samples"])
    model = load(path, config.evaluation.weights, config.allow_targets)
    return Result(read_json(path / "metrics.json"), samples, model, path.resolve())


def load(path: str | Path, weights: str = "ema", allow_targets: Sequence[str] = ()) -> Diffusion:
    """The model of a finished run.

    Args:
        path: a run's folder, a model's folder, or the checkpoint in one.
        weights: `ema`, `raw` or `ema_<half-life in images>`.
        allow_targets: packages of your own that it was made with.
    Raises:
        ValueError: if there is no such model or it does not fit its configuration.
    """
    folder = Path(path)
    # A run of network=exact has no weights, but a configuration.
    is_exact = read_json(folder / "run.json").get("training") == "exact"
    checkpoint = None if is_exact else find_checkpoint(folder)
    file = (folder if checkpoint is None else checkpoint.parent) / "config.yaml"
    if not file.is_file():
        raise ValueError(f"{file} is not there, so nothing says what {checkpoint} is a model of")
    config = OmegaConf.load(file)
    if not isinstance(config, DictConfig):
        raise ValueError(f"{file} is not a configuration of fokker's")
    find_own(allow_targets)
    build = Builder(allow_targets)
    model = build_model(config, build_data(config, build), build)
    return model.eval() if checkpoint is None else load_model(model, checkpoint, weights)
