"""`fokker -m hydra/sweeper=fokker_search`: the values of keys that make a metric best."""

from collections import Counter
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from omegaconf import OmegaConf

from fokker.config.arguments import whole
from fokker.config.compose import HELP
from fokker.machine.progress import duration
from fokker.machine.signals import SIGNALS
from fokker.machine.stopping import TABLES, run_and_collect
from fokker.search.method import read_method, with_steps
from fokker.search.objectives import ENDED, read_objectives, shown
from fokker.search.results import Results
from fokker.search.space import read_search
from fokker.search.trials import Trials, listed_trials
from fokker.store.job_folders import FAILED
from fokker.sweeps.check import REFUSALS
from fokker.sweeps.collection import SEED, Progress, count
from fokker.sweeps.grid import GridSweeper
from fokker.sweeps.jobs import alone
from fokker.sweeps.outcome import Outcome
from fokker.sweeps.presentation import present
from fokker.sweeps.verdict import Verdict


class SearchSweeper(GridSweeper):
    """A sweep whose jobs are asked one after the other, each from the results of those before.

    A search's folder is `<output_dir>/sweeps/<name>-<key>`. The key depends on all that changes
    what is asked, so not on n_trials and n_jobs. The same command goes on until there are
    `n_trials` in all processes together. A trial that was killed is run again in `<job>.2`, with
    its values; one that failed or was pruned counts.

    Args:
        n_trials: the number of trials in all.
        storage: `sqlite` or `journal` for a file in the search's folder, or a URL for Optuna.
        sampler: `tpe`, `random`, `qmc`, `gp`, `nsgaii`, `cmaes`, or `{tpe: {ARGUMENT: VALUE}}`.
        seed: the seed of the sampler.
        directions: `minimize` or `maximize` for each objective; null means the directions of a
            sweep's table.
        pruner: `median`, `percentile`, `hyperband`, `successive_halving`, `threshold`, or the same
            with arguments; null lets every training go to its end.
        prune_on: the part of the training curve that the pruner judges by, such as `ema_excess`.
        n_jobs: the number of trials that a launcher gets at once.
        params: the searched keys of a study.
    """

    def __init__(
        self,
        n_trials: object = 20,
        storage: object = "sqlite",
        sampler: object = "tpe",
        seed: object = 0,
        directions: object = None,
        pruner: object = None,
        prune_on: object = "denoising_error",
        n_jobs: object = 1,
        params: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(params=params)
        given = {
            "n_trials": n_trials, "n_jobs": n_jobs, "storage": storage, "sampler": sampler,
            "seed": seed, "directions": directions, "pruner": pruner, "prune_on": prune_on,
        }  # fmt: skip
        self._given = {key: _plain(value) for key, value in given.items()}
        for key in ("n_trials", "n_jobs", "seed"):
            self._given[key] = whole(self._given[key], int)

    def _sweep(self, arguments: list[str]) -> int:
        """Run the search; return the exit code."""
        self._check_keys()
        study = [f"{key}={value}" for key, value in self._params.items()]
        typed = self._whole([*study, *arguments])
        objective = _plain(self._settings.objective)
        identity = [str(objective), *(f"{k}={v}" for k, v in self._asked_by.items())]
        self._search = read_search(typed, self._settings, self._loader, identity)
        self._objectives = read_objectives(objective, self._given["directions"])
        self._method = read_method(self._given, self._objectives)
        self._put_into(self._search.folder)
        return self._show() if self._settings.task == "plan" else self._search_on()

    @property
    def _asked_by(self) -> dict[str, Any]:
        """Return the keys of the sweeper that change what is asked."""
        unused = ["n_trials", "n_jobs", *(["prune_on"] if self._given["pruner"] is None else [])]
        return {key: value for key, value in self._given.items() if key not in unused}

    # ---- running it ----------------------------------------------------------------------

    def _search_on(self) -> int:
        """Run the trials that have not ended, then collect; return the exit code."""
        started, n_trials = perf_counter(), self._given["n_trials"]
        before = [row["status"] in ENDED for row in self._results().rows]
        progress = Progress(0, 0)
        trials: Trials | None = None
        if not all(before) or len(before) < n_trials:
            self._check_probes()
            trials = Trials(self._search, self._method, self._objectives, n_trials)
            progress = Progress(max(n_trials, len(before)), trials.open)
        print(f"search   {self._search.folder}", flush=True)

        def run() -> None:
            if trials is not None:
                self._run_trials(trials, progress)

        def report() -> Outcome:
            if trials is not None:
                trials.leave()
            with alone(self._search.folder):
                return self._report(progress.begun > 0)

        code, outcome = run_and_collect(run, report)
        counts = Counter(row["status"] for row in outcome.rows)
        failed = sum(counts[status] for status in FAILED)
        others = "".join(f", {n} {s}" for s, n in counts.items() if s not in ("completed", *FAILED))
        print(
            f"{count(counts.total(), 'trial')} ({sum(before)} of them before): "
            f"{counts['completed']} completed, {failed} failed{others}; "
            f"{count(progress.trained, 'model')} trained; {duration(perf_counter() - started)}"
        )
        print(Verdict(outcome).line)
        good = counts["completed"] + counts["pruned"] + counts["running"]
        return code or int(good < max(n_trials, counts.total()))

    def _run_trials(self, trials: Trials, progress: Progress) -> None:
        """Ask for trials, launch them and tell how they ended, until no trial is left to take."""
        best, todo = self._results().best_cost, trials.open
        while taken := trials.take(self._given["n_jobs"]):
            # Other processes may have run some of the trials that were left.
            progress.ended = todo - trials.open
            self._launch(taken, progress)
            for job in taken:
                SIGNALS.ask()
                trials.tell(job)
                ran = job.row()
                row = self._objectives.judged(ran)
                if row["status"] != ran["status"]:
                    progress.failed += 1
                    print(f"         a failure: {row['error']}", flush=True)
                cost = self._objectives.costs(row)[0]
                is_one = len(self._objectives.metrics) == 1
                if cost < best and is_one and SEED not in self._search.columns.values():
                    told = self._objectives.text(row)
                    print(f"         {told}, the best so far", flush=True)
                best = min(best, cost)
            if self._settings.fail_fast and progress.failed:
                print("stopped at the first failure, for fail_fast=true")
                return

    def _results(self) -> Results:
        return Results.of(self._search, self._objectives, listed_trials(self._search))

    def _report(self, has_run: bool) -> Outcome:
        """Write and print the results of the search."""
        results = self._results()
        if results.rows:
            results.write()
            print(results.text())
            folder = self._search.folder
            print(f"results  {folder / 'results.csv'}")
            # If nothing has run, the figures of an earlier start are still right.
            if has_run or not (folder / "figures").is_dir():
                with SIGNALS.raised(TABLES):
                    present(results.outcome, self._settings, has_run, results.draw())
        return results.outcome

    # ---- before --------------------------------------------------------------------------

    def _check_keys(self) -> None:
        """Refuse wrong values of the search's own keys; fokker.config.keys would wait for torch."""
        for key in ("n_trials", "n_jobs"):
            value = self._given[key]
            if type(value) is not int or value < 1:
                raise ValueError(f"hydra.sweeper.{key} must be at least 1, got {shown(value)}")
        for key, kind, rule in (
            ("seed", int, "a whole number"),
            ("storage", str, "sqlite, journal or the URL of a database"),
            ("prune_on", str, "the name of a part of the training curve"),
        ):
            if type(self._given[key]) is not kind:
                raise ValueError(
                    f"hydra.sweeper.{key} must be {rule}, got {shown(self._given[key])}"
                )
        if not isinstance(self._settings.fail_fast, bool):
            raise ValueError(f"fail_fast must be true or false, got {self._settings.fail_fast}")

    def _check_probes(self) -> None:
        """Refuse values that no trial can have, an unknown objective, and a missing curve.

        The first values of all parameters are tried, and every other choice or end with these.
        """
        from fokker.launch.job import built

        self._method.make_sampler(0)
        experiments, errors = [], []
        for job in self._search.probes:
            try:
                config = self._compose(job)
            except REFUSALS as error:  # A choice that is always wrong is not worth a trial.
                raise ValueError(f"{error}\n{HELP}") from error
            try:
                experiments.append(built(config))
            except REFUSALS as error:  # Ends may fail together; such a trial fails in its turn.
                SIGNALS.ask()  # It may only be what a library made of a signal.
                errors.append(error)
        if not experiments:
            raise errors[0]
        from fokker.experiment.metric_names import measures_of

        found = [measures_of(experiment) for experiment in experiments]
        names = set.intersection(*map(set, found))
        for metric in self._objectives.metrics:
            if metric not in names:
                raise ValueError(
                    "objective must be a metric that all trials of the search will have, got "
                    f"{metric}; choose one of {', '.join(sorted(names))}"
                )
        self._objectives = self._objectives.described(found[0])
        self._method = with_steps(self._method, experiments)

    def _show(self) -> int:
        """Print the search, and what its first values would do; return the exit code."""
        print(f"search   {self._search.folder}")
        for parameter in self._search.parameters:
            print(f"         {parameter.described}")
        first = self._search.probes[0]
        print(f"for      {first.label}", flush=True)
        (done,) = self._launcher.launch([self._overrides(first, first.next_folder)], 0)
        _ = done.return_value
        return 0


def _plain(value: object) -> Any:
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
