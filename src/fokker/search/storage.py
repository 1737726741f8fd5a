"""Optuna's storage of a search: its address, its opening, and its errors in words."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fokker.machine.disk import DamagedError, writing
from fokker.machine.masking import without_password

#: SQLite's messages for errors of the system.
SQLITE = {
    "database or disk is full": errno.ENOSPC,
    "disk I/O error": errno.EIO,
    "attempt to write a readonly database": errno.EROFS,
}

#: The last bytes of a SQLite journal that names another file.
JOURNAL_END = bytes.fromhex("d9d505f920a163d7")


def address(storage: str, folder: Path) -> str:
    """Return the address of a storage, by which any process finds it."""
    if storage == "sqlite":
        return f"sqlite:///{folder.resolve() / 'search.db'}"
    return f"journal:{folder.resolve() / 'search.log'}" if storage == "journal" else storage


def open_storage(url: str) -> Any:
    """Open Optuna's storage at an address.

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
    # A job that reports may have to wait for another job.
    patient = {"connect_args": {"timeout": 60}} if url.startswith("sqlite:") else {}
    try:
        return optuna.storages.RDBStorage(url, engine_kwargs=patient)
    except Exception as error:  # Every database has its own errors.
        why = without_password(str(error).strip(), url).splitlines()[0]
        raise ValueError(
            "hydra.sweeper.storage must be sqlite, journal or the URL of a database, such as "
            f"sqlite:///FILE, got {without_password(url, url)}, which cannot be opened: {why}"
        ) from error


def _check_journal(file: Path) -> None:
    """Refuse a database next to a journal that names another file: SQLite would delete that file.

    Such a name belongs to a change of several databases at once, which fokker never makes.

    Raises:
        DamagedError: if there is such a journal.
    """
    journal = file.with_name(f"{file.name}-journal")
    if journal.is_file() and journal.read_bytes()[-len(JOURNAL_END) :] == JOURNAL_END:
        raise DamagedError(journal, "it names another file, which SQLite would delete")


@contextmanager
def storing(url: str) -> Iterator[None]:
    """Turn the errors of a storage that is a file into errors that name the file.

    Raises:
        DiskError: if the disk refuses something.
        DamagedError: if Optuna cannot read the file.
    """
    place = Path(url.removeprefix("journal:").removeprefix("sqlite:///"))
    with writing(place):
        try:
            yield
        except OSError:  # It is a journal's; a database has its own errors.
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
    """Tell whether an error was raised by Optuna or what it stores with, not by fokker itself."""
    last, trace = "", error.__traceback__
    while trace is not None:
        last, trace = trace.tb_frame.f_globals.get("__name__", ""), trace.tb_next
    return last.split(".")[0] in ("optuna", "sqlalchemy", "sqlite3", "json", "alembic")


def _chain(error: BaseException | None) -> str:
    """Return the messages of an error and of those that it comes from."""
    return "" if error is None else f"{error}\n{_chain(error.__cause__ or error.__context__)}"


def trial_id(storage: Any, study: str, number: int) -> int:
    """Return the storage's own number of a trial."""
    of_study = storage.get_study_id_from_name(study)
    found: int = storage.get_trial_id_from_study_id_trial_number(of_study, number)
    return found
