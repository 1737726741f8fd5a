"""Which jobs of a sweep cannot be, before the first one is run."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, flag_override
from omegaconf.errors import OmegaConfBaseException

from fokker.config.compose import HELP
from fokker.machine.start import Start, asked_ranks, check_alone
from fokker.sweeps.alike import Alike, Check, Compose
from fokker.sweeps.jobs import FIXED, Job, Row

# What can be wrong with a job's overrides.
REFUSALS = (ValueError, HydraException, OmegaConfBaseException)
#: Jobs that are composed before the sweep begins, which takes some 0.2 s each, as to build does.
MOST_COMPOSED = 24
#: Of more jobs than may be composed.
MOST_BUILT = 6


def check_jobs(
    compose: Compose,
    check: Check,
    todo: Sequence[Job],
    rows: Mapping[Job, Row],
    objective: Any,
    with_objects: bool,
) -> None:
    """Refuse a sweep of which no job can be, and an unknown objective; warn of single jobs.

    A few jobs are all looked at; of many, the first with each value, so that what it takes grows
    with the sum of the values and not with their product. Some of these may be built too.

    Args:
        compose: a job's configuration, with hydra's own node.
        check: refuses a configuration for the value of one key.
        todo: the jobs that are to be run.
        rows: what all jobs have come to so far.
        objective: a metric, or null.
        with_objects: whether to build. What runs in processes of its own, as several ranks do, may
            have the memory that its data need, and be killed without ending the sweep.
    Raises:
        ValueError: says what is wrong with the first job, or which metrics there are.
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
                # What is not run here fails in its turn.
                with nullcontext() if is_here else suppress(*REFUSALS):
                    known += _metric_names(config, job, objective)
            right += config is not None and (job in spread or not is_here)
        except REFUSALS as error:
            errors[job] = error
    if errors and not right:
        first = next(iter(errors.values()))
        is_ours = isinstance(first, ValueError)
        raise ValueError(str(first) if is_ours else f"{first}\n{HELP}")
    for job, why in errors.items():
        print(f"warning: {job.label} will fail: {str(why).splitlines()[0]}", file=sys.stderr)
    names = set.intersection(*known) if known else {objective}
    if objective is not None and objective not in names:
        raise ValueError(
            "objective must be a metric that all jobs of the sweep will have, got "
            f"{objective}; choose one of {', '.join(sorted(names))}"
        )


def _metric_names(config: DictConfig, job: Job, objective: Any) -> list[set[str]]:
    """Build a job; the metrics that it will have, or nothing if they cannot be known."""
    from fokker.experiment.metric_names import metric_names
    from fokker.launch.job import built  # Both need torch.

    with flag_override(config.hydra, ["struct", "readonly"], False):
        config.hydra.overrides.task = list(job.overrides)  # In place of those of a job alike.
    experiment = built(config)
    names = None if objective is None else metric_names(experiment)
    return [] if names is None else [set(names)]
