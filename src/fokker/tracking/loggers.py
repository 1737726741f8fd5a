"""The loggers of a run besides its local record, which comes first and is whole without them."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol, final

from fokker.machine.disk import DiskError
from fokker.machine.files import write_text


class Log(Protocol):
    """The log of one run, which gets the training curves while the run goes on."""

    @property
    def address(self) -> str:
        """Return the address at which the run can be seen; empty if there is only its folder."""

    def log(self, metrics: Mapping[str, object], step: int) -> None:
        """Take a row of the training curves."""

    def finish(self) -> None:
        """Close the log: the run has ended, well or not, and its folder holds all that there is."""


class Logger(Protocol):
    """A logger, which opens the log of each run."""

    def open(self, folder: Path, config: Mapping[str, object]) -> Log:
        """Open the log of the run in `folder`, whose run.json says what it is.

        Args:
            config: the resolved configuration, nested and of plain values.
        """


def numbers(metrics: Mapping[str, object]) -> dict[str, float]:
    """Return the single numbers among metrics."""
    return {key: value for key, value in metrics.items() if isinstance(value, (int, float))}


@final
class CSV(Logger):
    """A logger that writes the curves to `metrics.csv` in the run's folder, for spreadsheets."""

    def open(self, folder: Path, config: Mapping[str, object]) -> Log:
        return CSVLog(folder / "metrics.csv")


@final
class CSVLog:
    """A table of the curves' rows, in which a cell is empty where nothing was measured."""

    address = ""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[dict[str, float]] = []

    def log(self, metrics: Mapping[str, object], step: int) -> None:
        self._rows.append(numbers(metrics))

    def finish(self) -> None:
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        lines = [names, *([str(row.get(name, "")) for name in names] for row in self._rows)]
        write_text(self._path, "".join(",".join(line) + "\n" for line in lines))


@final
class Logs:
    """The logs of one run by the names of their loggers.

    A log that fails is left out from then on, with a warning, and the run goes on. Only an error of
    the disk ends a run, after the other logs are finished.
    """

    def __init__(self) -> None:
        self._logs: dict[str, Log] = {}
        self._addresses: dict[str, str] = {}

    def open(
        self, loggers: Mapping[str, Logger], folder: Path, config: Mapping[str, object]
    ) -> None:
        """Open the log of each logger for the run in `folder`."""
        for name, logger in loggers.items():
            with self._alone(name):
                self._logs[name] = logger.open(folder, config)

    @property
    def addresses(self) -> Mapping[str, str]:
        """Return the addresses at which the run can be seen, by logger, without empty ones."""
        return {name: address for name, address in self._addresses.items() if address}

    def log(self, metrics: Mapping[str, object], step: int) -> None:
        """Give each log a row of the training curves."""
        for name, log in list(self._logs.items()):
            with self._alone(name):
                log.log(metrics, step)

    def finish(self) -> None:
        """Finish each log once, however often this is called."""
        with ExitStack() as last:
            while self._logs:
                name, log = self._logs.popitem()
                last.callback(self._finish, name, log)

    def _finish(self, name: str, log: Log) -> None:
        with self._alone(name):
            log.finish()
            self._addresses[name] = log.address

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Leave out a log that fails in the block, and print a warning."""
        try:
            yield
        except DiskError:
            raise
        except Exception as error:
            self._logs.pop(name, None)
            why = f"{type(error).__name__}: {error}"
            print(f"warning: logger {name} is off from here on: {why}", file=sys.stderr)
