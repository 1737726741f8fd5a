"""Where a run is told of besides its local record, which comes first and is whole without it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, final

from fokker.machine.files import write_text


class Log(Protocol):
    """What a run tells while it goes on."""

    @property
    def address(self) -> str:
        """Where the run can be looked at; empty if only its folder says."""

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """A line of the training curves."""

    def finish(self) -> None:
        """The run has ended, well or not; its folder holds all that there is."""


class Logger(Protocol):
    """Opens the log of one run."""

    def open(self, folder: Path, config: Mapping[str, Any]) -> Log:
        """The log of the run in `folder`, whose run.json says what it is.

        Args:
            config: nested, resolved, of plain values.
        """


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The single numbers among metrics."""
    return {key: value for key, value in metrics.items() if isinstance(value, (int, float))}


@final
class CSV(Logger):
    """The curves as `metrics.csv` in the run's folder, for spreadsheets."""

    def open(self, folder: Path, config: Mapping[str, Any]) -> Log:
        return CSVLog(folder / "metrics.csv")


@final
class CSVLog:
    """One table with a row a line of the curves; a cell is empty where nothing was measured."""

    address = ""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[dict[str, float]] = []

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        self._rows.append(numbers(metrics))

    def finish(self) -> None:
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        lines = [names, *([str(row.get(name, "")) for name in names] for row in self._rows)]
        write_text(self._path, "".join(",".join(line) + "\n" for line in lines))


@final
class Several:
    """Several logs as one; the first that can be looked at gives the address."""

    def __init__(self, logs: Sequence[Log]) -> None:
        self._logs = logs

    @property
    def address(self) -> str:
        return next(filter(None, (log.address for log in self._logs)), "")

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        for log in self._logs:
            log.log(metrics, step)

    def finish(self) -> None:
        for log in self._logs:
            log.finish()
