"""The trials of a search in Optuna's storage: asked, retried and told by several processes."""

import errno
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, final

from filelock import FileLock, Timeout

from fokker.machine.disk import DamagedError, writing
from fokker.machine.files import write_private
from fokker.machine.folders import make_folder
from fokker.machine.locks import locked
from fokker.machine.masking import without_password
from fokker.machine.signals import SIGNALS
from fokker.search.method import PRUNERS, Method, made
from fokker.search.objectives import ENDED, Objectives
from fokker.search.space import Search
from fokker.store.job_folders import DAMAGED
from fokker.store.records import read_record
from fokker.sweeps.jobs import Job
from fokker.sweeps.study import Study

#: What SQLite says of the system's errors.
SQLITE = {
    "database or disk is full": errno.ENOSPC,
    "disk I/O error": errno.EIO,
    "attempt to write a readonly database": errno.EROFS,
}

#: With what a journal of SQLite's ends that names another file.
JOURNAL_END = bytes.fromhex("d9d505f920a163d7")


def address(storage: str, folder: Path) -> str:
    """A storage as any process finds it."""
    if storage == "sqlite":
        return f"sqlite:///{folder.resolve() / 'search.db'}"
    return f"journal:{folder.resolve() / 'search.log'}" if storage == "journal" else storage


def open_storage(url: str) -> Any:
    """Optuna's storage at an address.

    Raises:
        ValueError: if it cannot be reached.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if url.startswith("journal:"):
        return optuna.storages.JournalStorage(JournalFileBackend(url.removeprefix("journal:")))
    if url.startswith("sqlite:///"):
        _check_journal(Path(url.removeprefix("sqlite:///")))
    # A job that reports waits for another one's.
    patient = {"connect_args": {"timeout": 60}} if url.startswith("sqlite:") else {}
    try:
        return optuna.storages.RDBStorage(url, engine_kwargs=patient)
    except Exception as error:  # Every database has errors of its own.
        why = without_password(str(error).strip(), url).splitlines()[0]
        raise ValueError(
            "hydra.sweeper.storage must be sqlite, journal or the URL of a database, such as "
            f"sqlite:///FILE, got {without_password(url, url)}, which cannot be opened: {why}"
        ) from error


def _check_journal(file: Path) -> None:
    """Refuse a database beside which lies a journal that names another file: SQLite deletes that.

    Such a name is of a change to several databases at once, which fokker makes none of.

    Raises:
        DamagedError: says the file.
    """
    journal = file.with_name(f"{file.name}-journal")
    if journal.is_file() and journal.read_bytes()[-len(JOURNAL_END) :] == JOURNAL_END:
        raise DamagedError(journal, "it names another file, which SQLite would delete")


@contextmanager
def storing(url: str) -> Iterator[None]:
    """Let a storage that is a file say what is wrong with it, whatever Optuna makes of it.

    Raises:
        DiskError: for what the disk refuses.
        DamagedError: for what it does not hold.
    """
    place = Path(url.removeprefix("journal:").removeprefix("sqlite:///"))
    with writing(place):
        try:
            yield
        except OSError:  # Of a journal; a database has errors of its own.
            raise
        except Exception as error:
            number = next((n for text, n in SQLITE.items() if text in _chain(error)), None)
            if number is not None:
                raise OSError(number, os.strerror(number)) from error
            is_file = url.startswith(("journal:", "sqlite:///"))
            if not is_file or "locked" in _chain(error) or not _is_optunas(error):
                raise
            words = " ".join(str(error).splitlines()[0:1])
            why = f"Optuna cannot read it ({type(error).__name__}: {words})"
            raise DamagedError(place, why) from error


def _is_optunas(error: Exception) -> bool:
    """Whether an error is of Optuna's or of what it stores by, not of fokker's own."""
    last, trace = "", error.__traceback__
    while trace is not None:
        last, trace = trace.tb_frame.f_globals.get("__name__", ""), trace.tb_next
    return last.split(".")[0] in ("optuna", "sqlalchemy", "sqlite3", "json", "alembic")


def _chain(error: BaseException | None) -> str:
    """What an error and those that it comes from say."""
    return "" if error is None else f"{error}\n{_chain(error.__cause__ or error.__context__)}"


@final
class Trials:
    """The trials of a search; the number of a trial is that of its job.

    A trial that has not ended and that nobody runs any more is taken again, with its values. The
    sampler is made anew for every trial, from the seed and the trial's number, so that a search
    that was killed asks what an unbroken one does.

    Args:
        search: what is searched.
        method: how.
        objectives: what is told.
        n_trials: so many in all, by whatever processes.
    Raises:
        ValueError: if the storage cannot be opened, or is not that of the folder.
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
        # A database is looked for first, so that a wrong address leaves nothing behind.
        storage = open_storage(self.url) if self.url == method.storage else None
        make_folder(search.folder)
        # Two processes that make the tables of one file at once do not get on.
        with self._together():
            self._storage = optuna.storages.get_storage(storage or open_storage(self.url))
            known = {study.study_name for study in self._storage.get_all_studies()}
            if search.name in known:  # To make it again would write into a journal.
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
            # It knows how these have ended, and nobody else does any more.
            ended = [t for t in trials if t.state.is_finished()]
            self._again = {t.number for t in ended if self._job(t).row()["status"] == DAMAGED}

    @contextmanager
    def _together(self) -> Iterator[None]:
        """One process after the other."""
        SIGNALS.ask()
        # A storage that is stopped in the middle would have to undo what it has begun.
        with locked(self._search.folder / ".search.lock"), storing(self.url), SIGNALS.held():
            yield

    @property
    def open(self) -> int:
        """How many trials are still to be run, by whomever."""
        with storing(self.url):
            trials = self._study.get_trials(deepcopy=False)
        ended = sum(not self._is_open(t) for t in trials)
        return max(self._n_trials, len(trials)) - ended

    def take(self, count: int) -> list[Job]:
        """Up to `count` trials to run here; none if all are asked and others run the rest.

        What was left is taken alone: an unbroken search would have told it before it asked on.
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
        """Tell Optuna how a trial ended, unless it is to be run again, and leave it."""
        with self._together():
            self._tell(job)
            self._owned.pop(int(job.key[1:])).release()

    def leave(self) -> None:
        """Leave what was taken and not told to others."""
        for lock in self._owned.values():
            lock.release()
        self._owned.clear()

    def _is_open(self, trial: Any) -> bool:
        """Whether a trial is to be run, for the first time or for its damaged record."""
        return not trial.state.is_finished() or trial.number in self._again

    # ---- under the lock ------------------------------------------------------------------

    def _retry(self, trial: Any) -> list[Job]:
        """A trial that its process has left, unless it was tried here before."""
        if trial.number in self._tried or not self._own(trial.number):
            return []
        job = self._job(trial)
        # It may run on without who asked for it, or have ended so.
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
        """Say to others, for as long as this process lives, that somebody looks after a trial."""
        lock = self._search.lock(number)
        # Not at once: who looks whether a trial is held holds it for a moment.
        with suppress(Timeout):
            lock.acquire(timeout=0.2, poll_interval=0.01)
            self._owned[number] = lock
            return True
        return False

    def _job(self, trial: Any) -> Job:
        """The job of a trial, all of whose values may not have been asked."""
        from optuna.trial import Trial

        values = trial.params
        if {p.key for p in self._search.parameters} - values.keys():
            # Its process was killed while it asked.
            id_ = trial_id(self._storage, self._search.name, trial.number)
            values = self._suggested(lambda: Trial(self._study, id_), trial.number)
        return self._search.job(trial.number, values)

    def _suggested(self, begin: Callable[[], Any], number: int) -> dict[str, Any]:
        """The values of a trial, by a sampler whose seed is of this trial alone."""
        digest = hashlib.sha256(f"{self._method.seed}/{number}".encode()).hexdigest()
        self._study.sampler = self._method.make_sampler(int(digest[:8], 16))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = begin()
            in_order = sorted(self._search.parameters, key=lambda p: p.key)
            return {p.key: p.suggest(trial) for p in in_order}

    def _prepare(self, job: Job) -> None:
        """Let the job know, in whatever process, which trial it is."""
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
        # Alone in the folder it may hold a password, by which the job reaches the storage.
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
        """Write what all trials are, for whoever wants no more than their table."""
        jobs = [self._job(t) for t in self._study.get_trials(deepcopy=False)]
        # Again, as one whose process was killed has all its values by now.
        values = [trial.params for trial in self._study.get_trials(deepcopy=False)]
        Study(self._search.folder, tuple(jobs), tuple(values), self._search.name).write()


def listed_trials(search: Search) -> list[tuple[Job, dict[str, Any]]]:
    """The jobs of a search's folder with their values, without asking the storage.

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


def trial_id(storage: Any, study: str, number: int) -> int:
    """What a storage calls a trial."""
    of_study = storage.get_study_id_from_name(study)
    found: int = storage.get_trial_id_from_study_id_trial_number(of_study, number)
    return found


def watcher(path: Path) -> Callable[[Mapping[str, Any], int], bool] | None:
    """What reports the training curve of the job in `path` to its trial; null without a pruner.

    Returns:
        called with (metrics, step); true if the training is to be stopped.
    """
    facts = read_record(path / "trial.json")
    if not facts.get("pruner"):
        return None
    import optuna

    storage = open_storage(facts["storage"])
    study = optuna.load_study(
        study_name=facts["study"], storage=storage, pruner=made("pruner", PRUNERS, *facts["pruner"])
    )
    trial = optuna.trial.Trial(study, trial_id(storage, facts["study"], facts["number"]))
    # A curve is the better the lower it is, whatever the objective's direction, by which it is
    # judged.
    sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
    known = study.trials[facts["number"]]
    reported = set(known.intermediate_values)

    def watch(metrics: Mapping[str, Any], step: int) -> bool:
        value = metrics.get(facts["prune_on"])
        if value is None:  # It is not measured as often as others are.
            return False
        with storing(facts["storage"]):
            if step not in reported and not known.state.is_finished():
                trial.report(sign * value, step)
                reported.add(step)
            return bool(trial.should_prune())

    return watch
