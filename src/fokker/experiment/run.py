"""One run: make sure the model exists, sample, evaluate, record."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from fokker.data import GivenPoints
from fokker.evaluations.sample import Samples, check_finite
from fokker.experiment.draw import draw_figures
from fokker.experiment.experiment import Experiment, Result, division
from fokker.experiment.metric_names import measures_of, warn_of_measures, warn_of_report
from fokker.experiment.ready import make_ready, use
from fokker.experiment.record import Record, report_text, rows_table, table
from fokker.experiment.samplings import Evaluated, added, draw, evaluate, words
from fokker.formulation import Report, Validation
from fokker.levels import Table
from fokker.machine.device import forget_peak, peak_memory
from fokker.machine.disk import DiskError, short
from fokker.machine.locks import held
from fokker.machine.progress import nobody, print_now
from fokker.machine.signals import SIGNALS, Interrupted
from fokker.measures import facts_of_measures
from fokker.randomness import Randomness
from fokker.store.curves import read_json_lines
from fokker.store.identity import versions
from fokker.store.levels import read_levels
from fokker.tracking.loggers import Logs
from fokker.training import DivergedError
from fokker.training.signals import InterruptedTraining
from fokker.training.validation import validate
from fokker.training.watching import Pruned

COMPLETE = "stopped when the run was complete; its folder holds all of it"


def run(experiment: Experiment, path: Path, say: Callable[[str], None] = print_now) -> Result:
    """Carry out an experiment in the run's folder `path`.

    Raises:
        ValueError: if the folder holds a finished run or is another process's, or if a sample is
            not finite; the samples are kept nevertheless.
        DivergedError: at a loss that is not finite.
        Interrupted: after a signal; in a training `InterruptedTraining`.
        Pruned: if the experiment's watch ends the training.
    """
    with SIGNALS.heard():
        if experiment.task.ranks.is_first:
            # A signal is only noted outside of `raised`, so that the record is in order first.
            with held(path), SIGNALS.held():
                return _run(experiment, path, say)
        with SIGNALS.raised():
            samples = _take_part(experiment)
        points = experiment.model.data.to_file(samples.points)
        return Result({}, points, experiment.model, path.resolve())


def _take_part(experiment: Experiment) -> Samples:
    """Train, validate and sample in a rank that is not the first."""
    model, ranks = experiment.model, experiment.task.ranks
    try:
        experiment.origin.obtain(lambda *_: None, nobody, SIGNALS)
    except InterruptedTraining:
        ranks.first_says(lambda: None)  # Wait: a scheduler may end all if one ends.
        raise
    use(experiment)
    samples = _draw_own(experiment, lambda _: None, nobody)
    validate(model, ranks)
    evaluate(experiment, samples, lambda _: None, lambda _: None)
    ranks.leave()
    return samples


def _draw_own(
    experiment: Experiment, keep: Callable[[Samples], None], say: Callable[[str], None]
) -> Samples:
    """Draw the samples of the run's own way, and keep them before anything is measured.

    Raises:
        ValueError: in all ranks, if a sample is not finite.
    """
    own = experiment.plan.ways[0]
    samples = draw(experiment, own, say)

    def keep_and_check() -> None:
        keep(samples)
        check_finite(samples, own)

    experiment.task.ranks.first_says(keep_and_check)
    return samples


def _run(experiment: Experiment, path: Path, say: Callable[[str], None]) -> Result:
    started = perf_counter()
    forget_peak(experiment.task.device)
    record = _begun(experiment, path)
    logs = Logs()
    try:
        with SIGNALS.raised(), _samples_named(record, say):
            logs.open(experiment.loggers, path, experiment.task.config)
            _introduce(experiment, say)
            metrics, samples = _carry_out(experiment, record, logs, say)
    except Interrupted as stop:
        record.failed("interrupted", stop)
        # A mirror may take more time than is left after SIGTERM.
        if stop.number != signal.SIGTERM:
            logs.finish()
        experiment.task.stopped(stop.number, stop.has_advanced or record.has_trained)
        if isinstance(stop, InterruptedTraining):
            experiment.task.ranks.first_says(lambda: None)
        raise
    except (DivergedError, KeyboardInterrupt) as error:
        record.failed("diverged" if isinstance(error, DivergedError) else "interrupted", error)
        raise
    except Pruned as stop:
        record.note(status="pruned", error=str(stop), seconds=perf_counter() - started)
        raise
    except BaseException as error:
        record.failed("interrupted" if isinstance(error, DiskError) else "failed", error)
        raise
    else:
        memory = peak_memory(experiment.task.device)
        record.completed(seconds=perf_counter() - started, **memory)
        try:
            with SIGNALS.raised(COMPLETE):
                logs.finish()
        except DiskError as error:
            record.failed("interrupted", error)
            raise
    finally:
        with suppress(DiskError):  # The error that ends the run says it.
            logs.finish()
    _say_where(path, logs, say)
    return Result(metrics, samples, experiment.model, path.resolve())


def _say_where(path: Path, logs: Logs, say: Callable[[str], None]) -> None:
    """Print where the record, the figures and the logs of a run are."""
    say(f"record   {short(path)}")
    for figure in sorted((path / "figures").glob("*.png")):
        say(f"figure   {short(figure)}")
    for name, address in logs.addresses.items():
        say(f"{name:<8} {address}")


def _begun(experiment: Experiment, path: Path) -> Record:
    """Begin the record of a run."""
    key, place = experiment.task.folder.path.name, experiment.origin.place
    facts = {
        **experiment.task.facts,
        "model": None if place is None else {"key": key, "path": str(place.resolve())},
        "ranks": experiment.task.ranks.size,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }
    record = Record(path, facts)
    record.config(experiment.task.config_text)
    return record


def _introduce(experiment: Experiment, say: Callable[[str], None]) -> None:
    """Print the ranks, if there are several, and the data, if they are given as points."""
    if experiment.task.ranks.size > 1:
        batch_size = experiment.model.data.batch_size
        say(f"by       {division(batch_size, experiment.task.ranks.size)}")
    if isinstance(experiment.model.data, GivenPoints):
        say(f"data     {experiment.model.data.described()}")


@contextmanager
def _samples_named(record: Record, say: Callable[[str], None]) -> Iterator[None]:
    """Print where the samples are, if the block fails after they are written."""
    try:
        yield
    except BaseException:
        if record.samples_path is not None:
            say(f"samples  {short(record.samples_path)}")
        raise


def _carry_out(
    experiment: Experiment, record: Record, logs: Logs, say: Callable[[str], None]
) -> tuple[dict[str, Any], Tensor]:
    model = experiment.model
    make_ready(experiment, record, logs, say)
    to_file = model.data.to_file

    def keep(drawn: Samples) -> None:
        record.samples(to_file(drawn.points).numpy(), experiment.plan.ways[0].group)

    samples = _draw_own(experiment, keep, say)
    measured = _validated(experiment, record)
    evaluated = evaluate(experiment, samples, record.evaluations, say)
    experiment.task.ranks.leave()  # The rest takes only this process.
    metrics = _summary(experiment, evaluated, measured, say)
    reports = _kept_reports(experiment, record, metrics, say)
    warn_of_measures(experiment, measured.numbers, metrics)
    record.metrics(metrics)
    seconds = sum(row["seconds"] for row in evaluated.rows)
    record.note(nfe=samples.nfe, sampling_seconds=seconds)
    if experiment.plan.figures:
        _draw_figures(experiment, record, measured.table, samples, evaluated, reports, say)
    return metrics, to_file(samples.points)


def _validated(experiment: Experiment, record: Record) -> Validation:
    """Measure the weights, and record the losses by level and the facts of the run's numbers."""
    model, plan = experiment.model, experiment.plan
    measured = validate(model, experiment.task.ranks)
    record.levels(measured.table)
    record.note(metrics=[*plan.metrics], measures=facts_of_measures(measures_of(experiment)))
    return measured


def _summary(
    experiment: Experiment, evaluated: Evaluated, measured: Validation, say: Callable[[str], None]
) -> dict[str, Any]:
    """Collect the single numbers of a run, and print them."""
    rows, own_way = evaluated.rows, experiment.plan.ways[0]
    if len(rows) > 1:
        say(rows_table(rows))
    not_numbers = {*own_way.labels, "weights", "seconds"}
    own = {name: value for name, value in rows[0].items() if name not in not_numbers}
    metrics = {**own, **evaluated.of_data}
    whose = f"{type(experiment.model).__name__}.validation"
    metrics.update(added(metrics, measured.numbers, whose))
    # With fresh data `loss` measures the same, without the noise of single points.
    hidden = {"held_out_loss"} if experiment.model.data.fresh else set()
    say(table({name: value for name, value in metrics.items() if name not in hidden}))
    return metrics


def _kept_reports(
    experiment: Experiment, record: Record, metrics: dict[str, Any], say: Callable[[str], None]
) -> list[Report]:
    """Make, record and print the reports one by one, and add their numbers to the metrics."""
    reports = []
    for report in _reports(experiment, say):
        SIGNALS.ask()
        record.report(report)
        metrics.update(added(metrics, report.metrics, f"the report {report.name}"))
        say(report_text(report))
        reports.append(report)
    return reports


def _draw_figures(
    experiment: Experiment,
    record: Record,
    own: Table,
    samples: Samples,
    evaluated: Evaluated,
    reports: Sequence[Report],
    say: Callable[[str], None],
) -> None:
    """Draw the figures of the run, with the losses of the runs beside it."""
    tables = {experiment.name: own}
    for name, run in experiment.plan.beside.items():
        other = read_levels(run)
        if other is not None:
            tables[name] = other
    heading = f"{experiment.name}, {words(experiment.plan.ways[0])}"
    measures = {name: metric.measure for name, metric in experiment.plan.metrics.items()}
    curves = read_json_lines(record.path / "metrics.jsonl")
    draw_figures(
        experiment.model, curves, tables, samples, heading, measures, evaluated.rows,
        evaluated.of_data, reports, say, record.path / "figures",
    )  # fmt: skip


def _reports(experiment: Experiment, say: Callable[[str], None]) -> Iterator[Report]:
    """Yield the reports that end every run of the family, and those of the evaluations."""
    model, own = experiment.model, experiment.plan.ways[0]
    points, count = experiment.plan.budget_points, experiment.plan.num_samples
    for report in model.reports(own, points, count, experiment.plan.seed):
        if isinstance(report, Report):
            yield report
        else:
            say(report)
    randomness = Randomness(experiment.plan.seed)
    for evaluation in experiment.plan.evaluations.values():
        report = evaluation(model, own, randomness)
        warn_of_report(evaluation, evaluation.measures(model, own), report)
        yield report
