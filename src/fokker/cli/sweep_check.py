"""Which jobs of a sweep cannot be, before the first one is run."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from fokker.cli.compose import HELP
from fokker.cli.start import Start, asked_ranks, check_alone
from fokker.cli.sweep_jobs import FIXED, Job, Row

# What can be wrong with a job's overrides.
REFUSALS = (ValueError, HydraException, OmegaConfBaseException)
# Jobs that are built before the sweep begins, which takes some 50 ms each.
MOST_BUILT = 50

Compose = Callable[[Job], DictConfig]


def check_jobs(
    compose: Compose,
    todo: Sequence[Job],
    rows: Mapping[Job, Row],
    objective: Any,
    with_objects: bool,
) -> None:
    """Refuse a sweep of which no job can be, and an unknown objective; warn of single jobs.

    Every job is composed, and the first with each value may be built too.

    Args:
        compose: a job's configuration, with hydra's own node.
        todo: the jobs that are to be run.
        rows: what all jobs have come to so far.
        objective: a metric, or null.
        with_objects: whether to build. What runs in processes of its own, as several ranks do, may
            have the memory that its data need, and be killed without ending the sweep.
    Raises:
        ValueError: says what is wrong with the first job, or which metrics there are.
    """
    errors: dict[Job, Exception] = {}
    first_with = {item: job for job in reversed(todo) for item in job.swept.items()}
    built = list(first_with.values())[: MOST_BUILT * with_objects]
    for job in todo:
        try:
            config = compose(job)
            if with_objects and Start.here().by == "fokker":
                check_alone(config.trainer)
            if job in built and asked_ranks(config.trainer) == 1:
                _build(config)
        except REFUSALS as error:
            errors[job] = error
    if errors and len(errors) == len(rows):
        first = next(iter(errors.values()))
        is_ours = isinstance(first, ValueError)
        raise ValueError(str(first) if is_ours else f"{first}\n{HELP}")
    for job, why in errors.items():
        print(f"warning: {job.label} will fail: {str(why).splitlines()[0]}", file=sys.stderr)
    if objective is None:
        return
    none = (*FIXED, *next(iter(rows)).swept)
    known = [set(r).difference(none) for r in rows.values() if r["status"] == "completed"]
    for job in todo:
        with suppress(*REFUSALS):  # It fails in its turn.
            known += _metric_names(compose(job))
    names = set.intersection(*known) if known else {objective}
    if objective not in names:
        raise ValueError(
            "objective must be a metric that all jobs of the sweep will have, got "
            f"{objective}; choose one of {', '.join(sorted(names))}"
        )


def _build(config: DictConfig) -> Any:
    from fokker.cli.job import built  # It needs torch.

    return built(config)


def _metric_names(config: DictConfig) -> list[set[str]]:
    """The metrics that a job will have; nothing if they cannot be known."""
    from fokker.experiment.metric_names import metric_names

    names = metric_names(_build(config))
    return [] if names is None else [set(names)]
