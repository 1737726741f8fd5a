"""The check of a sweep's jobs, before the first one is run."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, flag_override
from omegaconf.errors import OmegaConfBaseException

from fokker.config.compose import HELP
from fokker.machine.signals import SIGNALS
from fokker.machine.start import Start, asked_ranks, check_alone
from fokker.sweeps.alike import Alike, Check, Compose
from fokker.sweeps.jobs import FIXED, Job, Row

# The errors that refuse a job's overrides.
REFUSALS = (ValueError, HydraException, OmegaConfBaseException)
#: The most jobs that are composed before the sweep begins. Each takes some 0.2 s to compose, and as
#: long to build.
MOST_COMPOSED = 24
#: The most jobs that are built, if there are more jobs than may be composed.
MOST_BUILT = 6


def check_jobs(
    compose: Compose,
    check: Check,
    todo: Sequence[Job],
    rows: Mapping[Job, Row],
    objective: Any,
    with_objects: bool,
) -> None:
    """Refuse a sweep if none of its jobs can run, or its objective is unknown; warn of single jobs.

    A few jobs are all checked; of many, only the first one with each value. So the time grows with
    the sum of the numbers of values, not with their product. Some of these jobs may also be built.

    Args:
        compose: the function that composes a job's configuration, with hydra's own part.
        check: the function that refuses a wrong configuration, or only the value of one key.
        todo: the jobs that are to be run.
        rows: the rows of all jobs, as they are now.
        objective: the metric that is asked for, or null.
        with_objects: whether jobs run in this process, so that an error in building one counts. It
            does not count for a job in processes of its own, such as several ranks: these may have
            the memory that its data need, and do not end the sweep if they are killed.
    Raises:
        ValueError: if no job can run, with the first job's error; or if the objective is unknown,
            with the metrics that there are.
    """
    first_with = {item: job for job in reversed(todo) for item in job.swept.items()}
    chosen = set(first_with.values())
    firsts = [job for job in todo if job in chosen]
    looked = firsts if len(todo) > MOST_COMPOSED else todo
    last, steps = len(firsts) - 1, MOST_BUILT - 1
    spread = {firsts[n * last // steps] for n in range(steps + 1)} if looked is firsts else firsts
    errors: dict[Job, Exception] = {}
    none = (*FIXED, *next(iter(rows)).swept)
    known = [set(r).difference(none) for r in rows.values() if r["status"] == "completed"]
    configuration, right = Alike(compose, check, MOST_COMPOSED), len(rows) - len(todo)
    for job in looked:
        try:
            config = configuration(job)
            if config is not None and with_objects and Start.here().by == "fokker":
                check_alone(config.trainer)
            is_here = config is not None and with_objects and asked_ranks(config.trainer) == 1
            if config is not None and job in spread and (is_here or objective is not None):
                # A job that runs elsewhere fails in its turn.
                with nullcontext() if is_here else suppress(*REFUSALS):
                    known += _metric_names(config, job, objective)
            right += config is not None and (job in spread or not is_here)
        except REFUSALS as error:
            SIGNALS.ask()  # It may only be what a library made of a signal.
            errors[job] = error
    _refuse_if_all_fail(errors, right > 0)
    for job, why in errors.items():
        print(f"warning: {job.label} will fail: {str(why).splitlines()[0]}", file=sys.stderr)
    names = set.intersection(*known) if known else {objective}
    if objective is not None and objective not in names:
        raise ValueError(
            "objective must be a metric that all jobs of the sweep will have, got "
            f"{objective}; choose one of {', '.join(sorted(names))}"
        )


def _refuse_if_all_fail(errors: Mapping[Job, Exception], has_right: bool) -> None:
    """Raise the first job's error, unless some jobs can run.

    Raises:
        ValueError: if no job can run.
    """
    if errors and not has_right:
        first = next(iter(errors.values()))
        is_ours = isinstance(first, ValueError)
        raise ValueError(str(first) if is_ours else f"{first}\n{HELP}")


def _metric_names(config: DictConfig, job: Job, objective: object) -> list[set[str]]:
    """Build a job; return its set of metrics in a list, which is empty without an objective."""
    from fokker.experiment.metric_names import measures_of
    from fokker.launch.job import built  # Both modules need torch.

    with flag_override(config.hydra, ["struct", "readonly"], False):
        config.hydra.overrides.task = list(job.overrides)  # Those here may be another job's.
    experiment = built(config)
    return [] if objective is None else [set(measures_of(experiment))]
