"""The trials of a search in Optuna's storage: asked, retried and told by several processes."""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, final

from filelock import FileLock, Timeout

from fokker.machine.disk import DamagedError
from fokker.machine.files import write_private
from fokker.machine.folders import make_folder
from fokker.machine.locks import locked
from fokker.machine.signals import SIGNALS
from fokker.search.method import Method
from fokker.search.objectives import ENDED, Objectives
from fokker.search.space import Search
from fokker.search.storage import address, open_storage, storing, trial_id
from fokker.store.job_folders import DAMAGED
from fokker.sweeps.jobs import Job
from fokker.sweeps.study import Study


@final
class Trials:
    """The trials of a search; the number of a trial is that of its job.

    A trial that has not ended and that nobody runs any more is taken again, with its values. The
    sampler is made anew for every trial, from the seed and the trial's number, so that a search
    that was killed asks for the same trials as an unbroken one.

    Args:
        search: the search.
        method: the method of the search.
        objectives: the objectives whose values Optuna is told.
        n_trials: the number of trials in all, whichever processes run them.
    Raises:
        ValueError: if the storage cannot be opened, or does not belong to the folder.
    """

    def __init__(
        self, search: Search, method: Method, objectives: Objectives, n_trials: int
    ) -> None:
        import optuna

        self._search, self._method, self._objectives = search, method, objectives
        self._n_trials = n_trials
        self._owned: dict[int, FileLock] = {}
        self._tried: set[int] = set()
        self.url = address(method.storage, search.folder)
        for name in ("search.db", "search.log"):
            if (search.folder / name).is_symlink():
                raise DamagedError(search.folder / name, "it is a link")
        # A database is opened first, so that a wrong address leaves no folder behind.
        storage = open_storage(self.url) if self.url == method.storage else None
        make_folder(search.folder)
        # Two processes must not make the tables of one file at the same time.
        with self._together():
            self._storage = optuna.storages.get_storage(storage or open_storage(self.url))
            known = {study.study_name for study in self._storage.get_all_studies()}
            if search.name in known:  # Making it again would write into a journal.
                self._study = optuna.load_study(study_name=search.name, storage=self._storage)
            else:
                self._study = optuna.create_study(
                    storage=self._storage,
                    study_name=search.name,
                    directions=objectives.directions,
                    load_if_exists=True,
                )
            trials = self._study.get_trials(deepcopy=False)
            listed = listed_trials(search)
            lost = [t for t in trials if t.state.is_finished() and not self._job(t).attempts]
            for trial, (_, values) in zip(trials, listed):
                shared = trial.params.keys() & values.keys()
                if any(trial.params[key] != values[key] for key in shared):
                    raise ValueError(
                        f"{search.folder / 'jobs.json'} has other values for trial {trial.number} "
                        "than the search's storage, so that one of the two is damaged; bring back "
                        "a copy, or give another folder with hydra.sweep.dir"
                    )
            if len(trials) < len(listed) or lost:
                raise ValueError(
                    f"{search.folder} holds {len(listed)} trials and {self.url} {len(trials)}: one "
                    "of the two is another one's; bring back what is gone, or give another folder "
                    "with hydra.sweep.dir"
                )
            # The storage has their ends, but their records are damaged, so that they are run again.
            ended = [t for t in trials if t.state.is_finished()]
            self._again = {t.number for t in ended if self._job(t).row()["status"] == DAMAGED}

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Hold the search's lock, so that one process after the other uses the storage."""
        SIGNALS.ask()
        # A signal in the middle would leave the storage with a half-made change to undo.
        with locked(self._search.folder / ".search.lock"), storing(self.url), SIGNALS.held():
            yield

    @property
    def open(self) -> int:
        """Return how many trials are still to be run, by this process or others."""
        with storing(self.url):
            trials = self._study.get_trials(deepcopy=False)
        ended = sum(not self._is_open(t) for t in trials)
        return max(self._n_trials, len(trials)) - ended

    def take(self, count: int) -> list[Job]:
        """Take up to `count` trials to run here; none if others run all that are left.

        Trials that were left are taken without new ones: an unbroken search would have told them
        before it asked for more.
        """
        with self._together():
            trials = self._study.get_trials(deepcopy=False)
            taken: list[Job] = []
            for trial in trials:
                if len(taken) < count and self._is_open(trial):
                    taken += self._retry(trial)
            if not taken:
                new = range(len(trials), min(len(trials) + count, self._n_trials))
                taken = [self._ask(number) for number in new]
            self._list()
        return taken

    def tell(self, job: Job) -> None:
        """Tell Optuna how a trial ended, unless it is to be run again, and release its lock."""
        with self._together():
            self._tell(job)
            self._owned.pop(int(job.key[1:])).release()

    def leave(self) -> None:
        """Release the trials that were taken and not told, so that others may take them."""
        for lock in self._owned.values():
            lock.release()
        self._owned.clear()

    def _is_open(self, trial: Any) -> bool:
        """Tell whether a trial has not ended, or is to be run again for its damaged record."""
        return not trial.state.is_finished() or trial.number in self._again

    # ---- under the lock ------------------------------------------------------------------

    def _retry(self, trial: Any) -> list[Job]:
        """Take a trial that its process has left, unless it was tried here before."""
        if trial.number in self._tried or not self._own(trial.number):
            return []
        job = self._job(trial)
        # The job may run on, or have ended, after the process that asked for it was killed.
        if job.row()["status"] in (*ENDED, "running"):
            self._tell(job)
            self._owned.pop(trial.number).release()
            return []
        self._prepare(job)
        return [job]

    def _ask(self, number: int) -> Job:
        self._own(number)
        job = self._search.job(number, self._suggested(self._study.ask, number))
        self._prepare(job)
        return job

    def _own(self, number: int) -> bool:
        """Take the lock of a trial for as long as this process lives; tell whether it was free."""
        lock = self._search.lock(number)
        # Retry briefly: a status check also holds the lock for a moment.
        with suppress(Timeout):
            lock.acquire(timeout=0.2, poll_interval=0.01)
            self._owned[number] = lock
            return True
        return False

    def _job(self, trial: Any) -> Job:
        """Return the job of a trial, and ask for those of its values that are missing."""
        from optuna.trial import Trial

        values = trial.params
        if {p.key for p in self._search.parameters} - values.keys():
            # Its process was killed while it asked.
            id_ = trial_id(self._storage, self._search.name, trial.number)
            values = self._suggested(lambda: Trial(self._study, id_), trial.number)
        return self._search.job(trial.number, values)

    def _suggested(self, begin: Callable[[], Any], number: int) -> dict[str, Any]:
        """Return the values of a trial, by a sampler whose seed belongs to this trial."""
        digest = hashlib.sha256(f"{self._method.seed}/{number}".encode()).hexdigest()
        self._study.sampler = self._method.make_sampler(int(digest[:8], 16))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = begin()
            in_order = sorted(self._search.parameters, key=lambda p: p.key)
            return {p.key: p.suggest(trial) for p in in_order}

    def _prepare(self, job: Job) -> None:
        """Write down for the job, in whatever process it runs, which trial it is."""
        self._tried.add(int(job.key[1:]))
        facts = {
            "storage": self.url,
            "study": self._search.name,
            "number": int(job.key[1:]),
            "prune_on": self._method.prune_on,
            "pruner": self._method.pruner,
        }
        place = job.next_folder
        make_folder(place)
        # Only this file may hold a password, with which the job reaches the storage.
        write_private(place / "trial.json", json.dumps(facts, indent=2) + "\n")

    def _tell(self, job: Job) -> None:
        from optuna.trial import TrialState

        self._again.discard(int(job.key[1:]))
        row = self._objectives.judged(job.row())
        number, status = int(job.key[1:]), row["status"]
        if status == "completed":
            self._study.tell(number, self._objectives.told(row), skip_if_finished=True)
        elif status in ENDED:
            state = TrialState.PRUNED if status == "pruned" else TrialState.FAIL
            self._study.tell(number, state=state, skip_if_finished=True)

    def _list(self) -> None:
        """Write the list of all trials, for commands that only need their table."""
        jobs = [self._job(t) for t in self._study.get_trials(deepcopy=False)]
        # They are read again: a trial whose process was killed has all its values by now.
        values = [trial.params for trial in self._study.get_trials(deepcopy=False)]
        Study(self._search.folder, tuple(jobs), tuple(values), self._search.name).write()


def listed_trials(search: Search) -> list[tuple[Job, dict[str, Any]]]:
    """Return the jobs of a search's folder with their values, without asking the storage.

    Raises:
        ValueError: if the folder holds another search or a sweep.
    """
    study = Study.read(search.folder)
    file = study.file
    if file.is_file() and study.search != search.name:
        raise ValueError(
            f"hydra.sweep.dir={search.folder} holds {study.search or 'a sweep'}, which "
            f"differs from {search.name}; give another folder"
        )
    found = []
    for number, values in enumerate(study.values):
        keys = {parameter.key for parameter in search.parameters}
        if not isinstance(values, dict) or keys - values.keys():
            raise DamagedError(file, f"jobs {number} must have values of {', '.join(sorted(keys))}")
        try:
            job = search.job(number, values)
        except (TypeError, ValueError) as error:
            raise DamagedError(file, f"the values of jobs {number} are none: {error}") from error
        found.append((job, values))
    return found
