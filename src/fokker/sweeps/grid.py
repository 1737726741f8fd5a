"""`fokker -m`: every combination of the swept keys, each trained, run and recorded once."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, flag_override

from fokker.config.arguments import whole
from fokker.config.compose import in_words, reading_files, refuse
from fokker.config.early import check_early
from fokker.config.hydra_node import check_hydra
from fokker.config.signatures import Signatures
from fokker.config.whole_numbers import in_whole_numbers
from fokker.launch.launchers import check_launcher
from fokker.machine.disk import DiskError
from fokker.machine.environment import FULL_ERROR, is_on
from fokker.machine.orphans import ending_with_this
from fokker.machine.progress import duration, minute_lines
from fokker.machine.signals import SIGNALS
from fokker.machine.stopping import run_and_collect
from fokker.store.job_folders import DAMAGED, FAILED
from fokker.sweeps.check import REFUSALS, check_jobs
from fokker.sweeps.collection import Progress, at_work, count
from fokker.sweeps.grid_jobs import grid_jobs
from fokker.sweeps.job_loader import JobLoader, WholeLoader, record_refusal
from fokker.sweeps.jobs import Job, alone
from fokker.sweeps.outcome import Outcome
from fokker.sweeps.presentation import collected
from fokker.sweeps.study import Study
from fokker.sweeps.verdict import Verdict

#: The launcher that runs jobs in this process, one after the other.
BASIC = "BasicLauncher"


# It does not derive from BasicSweeper: hydra runs the files of its own plugins anew when it looks
# for plugins, and a class that was imported before is then another class.
class GridSweeper(Sweeper):
    """A sweeper over all combinations of the swept keys; it skips jobs that are done or running.

    A sweep's folder is `<output_dir>/sweeps/<name>-<key>`. A job's folder is `<values>-<hash>` with
    the hash of its overrides in any order, by which the same sweep or a longer one finds what is
    done. A job that failed or was killed is run again in `<job>.2`. At the end results.csv and a
    table are written, whatever happened.

    Args:
        max_batch_size: the number of jobs that a launcher gets at once. Null means one for hydra's
            basic launcher, which runs jobs in this process one after the other, and all for others.
        params: the swept keys of a study.
        settings: the settings of a study, the rows of an ablation: overrides by name, as a text or
            a list.
    """

    def __init__(
        self,
        max_batch_size: int | None = None,
        params: Mapping[str, str] | None = None,
        settings: Mapping[str, str | Sequence[str]] | None = None,
    ) -> None:
        self._batch_size, self._params = whole(max_batch_size, int), dict(params or {})
        self._read = Signatures()
        self._named = {
            name: value.split() if isinstance(value, str) else list(value)
            for name, value in (settings or {}).items()
        }

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what hydra has composed, and make the launcher, before the sweep."""
        loader: Any = WholeLoader(hydra_context.config_loader)
        self._settings, self._loader = config, loader
        name = str(config.hydra.launcher.get("_target_")).rpartition(".")[2]
        if name != BASIC:
            loader = JobLoader(loader, name)
        hydra_context = replace(hydra_context, config_loader=loader)
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep.

        Raises:
            SystemExit: 1 if a job failed or the sweep is refused, 130 or 143 after a signal.
        """
        with SIGNALS.heard(), SIGNALS.raised():
            try:
                code = self._sweep(arguments)
            except (*REFUSALS, DiskError) as error:
                if is_on(FULL_ERROR):
                    raise
                refuse(in_words(error, arguments))
        if code:
            raise SystemExit(code)

    def _sweep(self, arguments: list[str]) -> int:
        """Run the sweep; return the exit code."""
        study = [f"{key}={value}" for key, value in self._params.items()]
        named = {name: self._whole(texts) for name, texts in self._named.items()}
        typed = self._whole([*study, *arguments])
        jobs = grid_jobs(typed, self._settings, self._loader, named)
        self._put_into(jobs[0].sweep)
        self._check_keys()
        return self._plan(jobs) if self._settings.task == "plan" else self._run(jobs)

    # ---- running them --------------------------------------------------------------------

    def _run(self, jobs: Sequence[Job]) -> int:
        """Run the jobs that are not completed, then collect; return the exit code."""
        settings, started = self._settings, perf_counter()
        rows = {job: job.row() for job in jobs}
        todo = [job for job in jobs if rows[job]["status"] != "completed"]
        # This line comes before what takes time, such as the import of torch.
        print(f"sweep    {jobs[0].sweep}", flush=True)
        for job in todo:
            if rows[job]["status"] == DAMAGED:
                again = job.next_folder.name
                print(f"damaged  {job.label}: {rows[job]['error']}; it is run again in {again}")
        check_jobs(self._load, self._check, todo, rows, settings.objective, self._is_serial)
        with alone(jobs[0].sweep):
            Study(jobs[0].sweep, tuple(jobs)).write()
        done = len(jobs) - len(todo)
        progress = Progress(len(jobs), len(todo))

        def collect() -> Outcome:
            with alone(jobs[0].sweep):
                return collected(jobs, settings, progress.begun > 0)

        code, outcome = run_and_collect(lambda: self._launch_all(todo, progress), collect)
        counts = Counter(row["status"] for row in outcome.rows)
        others = "".join(f", {n} {s}" for s, n in counts.items() if s not in ("completed", *FAILED))
        failed = sum(counts[status] for status in FAILED)
        print(
            f"{count(len(jobs), 'job')}: {counts['completed']} completed ({done} of them before), "
            f"{failed} failed{others}; {count(progress.trained, 'model')} trained; "
            f"{duration(perf_counter() - started)}"
        )
        print(Verdict(outcome).line)
        return code or int(counts["completed"] + counts["running"] < len(jobs))

    @property
    def _is_serial(self) -> bool:
        """Return whether the jobs run in this process, one after the other."""
        return type(self._launcher).__name__ == BASIC

    def _batches(self, jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
        """Yield the jobs in batches of `max_batch_size`.

        By default a batch is one job if the launcher is serial, else it is all jobs.
        """
        size = self._batch_size or (1 if self._is_serial else len(jobs))
        for start in range(0, len(jobs), max(size, 1)):
            yield jobs[start : start + size]

    def _launch_all(self, todo: Sequence[Job], progress: Progress) -> None:
        """Run the jobs, batch by batch."""
        for batch in self._batches(todo):
            SIGNALS.ask()
            self._launch(batch, progress)
            if self._settings.fail_fast and progress.failed:
                print("stopped at the first failure, for fail_fast=true")
                return

    def _launch(self, batch: Sequence[Job], progress: Progress) -> None:
        """Run a batch, without the jobs that are completed or running by now."""
        begun: dict[Job, Path] = {}
        for job in batch:
            if job.row()["status"] not in ("completed", "running"):
                begun[job] = job.next_folder
        mine, alone = set(begun), len(batch) == 1
        started = perf_counter()
        try:
            if begun:
                overrides = [self._overrides(job, path) for job, path in begun.items()]
                with minute_lines(lambda: at_work(begun)), ending_with_this(self._launcher):
                    ends = self._launcher.launch(overrides, initial_job_idx=progress.ended)
                mine -= {job for job, end in zip(begun, ends) if not end.return_value}
        except Exception as error:
            SIGNALS.ask()  # A launcher may turn what a signal raises into its own error.
            if alone:
                (job,), seconds = batch, perf_counter() - started
                record_refusal(begun[job], error, seconds, job.overrides)
            else:  # A launcher whose job was killed does not wait for the others.
                print(f"launcher: {type(error).__name__}: {error}", flush=True)
                while any(job.is_held for job in batch):
                    SIGNALS.ask()
                    sleep(1)
        for after, job in zip(reversed(range(len(batch))), batch):
            progress.end(job, job.row(), job in mine, after)

    def _overrides(self, job: Job, path: Path) -> list[str]:
        """Return a job's overrides, followed by two that name its folder."""
        places = (("hydra.sweep.dir", path.parent), ("hydra.sweep.subdir", path.name))
        quoted = [f"{k}={QuotedString(str(v), Quote.single).with_quotes()}" for k, v in places]
        return [*job.overrides, *quoted]

    def _compose(self, job: Job) -> DictConfig:
        """Return a job's configuration, with hydra's own part, and refuse it if it is wrong."""
        config = self._load(job)
        self._check(config)
        return config

    def _load(self, job: Job) -> DictConfig:
        """Return a job's configuration, of which only hydra's composition is checked."""
        overrides = self._overrides(job, job.next_folder)
        sources = self._settings.hydra.runtime.config_sources
        folders = [Path(source.path) for source in sources if source.schema == "file"]
        try:
            with reading_files(folders, overrides):
                config: DictConfig = self._loader.load_sweep_config(self._settings, overrides)
                return config
        except REFUSALS as error:
            raise in_words(error, job.overrides)  # noqa: B904 (its cause is the error)

    def _check(self, config: DictConfig, only: str = "") -> None:
        """Refuse a wrong configuration of a job, or only the value of one key in it."""
        if not only:
            check_hydra(config)  # An option's file may set hydra's part.
        check_early(config, config.hydra.runtime.config_sources, self._read, only)
        if only.split(".")[0] in ("", "trainer"):
            launcher = self._settings.hydra.launcher
            check_launcher(type(self._launcher).__name__, launcher, config.trainer)

    def _whole(self, overrides: Sequence[str]) -> list[str]:
        """Return overrides with whole numbers written as such."""
        sources = self._settings.hydra.runtime.config_sources
        return in_whole_numbers(overrides, self._settings, sources, self._read)

    # ---- before and after ----------------------------------------------------------------

    def _check_keys(self) -> None:
        """Refuse wrong values of the sweep's own keys; fokker.config.keys would wait for torch."""
        for key, kinds, rule in (
            ("fail_fast", bool, "true or false"),
            ("objective", (str, type(None)), "the name of a metric or null"),
        ):
            if not isinstance(self._settings[key], kinds):
                raise ValueError(f"{key} must be {rule}, got {self._settings[key]}")

    def _put_into(self, folder: Path) -> None:
        """Set the sweep's folder, which hydra would choose before the sweep is known."""
        place = self._settings.hydra.sweep
        with flag_override(place, ["struct", "readonly"], False):
            place.dir = str(folder)

    def _plan(self, jobs: Sequence[Job]) -> int:
        """Say what each job would do; return the exit code."""
        code = 0
        for job in jobs:
            print(f"job      {job.label}", flush=True)
            try:
                (done,) = self._launcher.launch([self._overrides(job, job.next_folder)], 0)
                _ = done.return_value
            except REFUSALS as error:
                SIGNALS.ask()  # It may only be what a library made of a signal.
                print(f"fokker: {error}", file=sys.stderr)
                code = 1
        return code
