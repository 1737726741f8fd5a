"""Loggers, also of one's own: several at once, told alike, and none of them harms a run."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fokker.cli.main import main
from fokker.machine.disk import DiskError
from fokker.tracking import Log, Logger
from fokker.tracking.loggers import Logs
from pages import write_code
from tiny_runs import TINY, run


def rows(path: Path) -> list[dict[str, str]]:
    with (path / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_s_own_logger_is_told_what_the_others_are(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_code("extending.md", workdir)
    monkeypatch.syspath_prepend(str(workdir))
    typed = ["fokker", "--config-dir", "my_conf", *TINY, "logger=[csv,lines]", "seed=3"]
    monkeypatch.setattr("sys.argv", [*typed, "allow_targets=[own_lines]", "hydra.run.dir=here"])
    main()
    path = Path("here")
    first, *others = (path / "lines.txt").read_text().splitlines()
    assert first == "seed 3"
    assert others == [f"{row['step']} {row['loss']}" for row in rows(path)]
    assert len(others) == 4
    assert f"lines    {path.resolve() / 'lines.txt'}" in capsys.readouterr().out
    # A model that is found tells its curve too, and the logger is no part of what was trained.
    again = run("+logger.other._target_=own_lines.Lines", "allow_targets=[own_lines]", "seed=3")
    assert (again.path / "lines.txt").read_text().splitlines() == [first, *others]


def test_tensorboard_has_the_curves_and_the_numbers(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    made = run("logger=[csv,tensorboard]")
    place = made.path / "tensorboard"
    assert f"tensorboard {place.relative_to(Path.cwd())}" in capsys.readouterr().out
    found = EventAccumulator(str(place)).Reload()
    losses = [(event.step, event.value) for event in found.Scalars("loss")]
    expected = [(int(row["step"]), float(row["loss"])) for row in rows(made.path)]
    assert [step for step, _ in losses] == [step for step, _ in expected]
    assert [value for _, value in losses] == pytest.approx([value for _, value in expected])
    assert found.Scalars("run/w1")[-1].value == pytest.approx(made.metrics["w1"])
    several = run("logger=tensorboard", "logger.tensorboard.folder=all", "seed=1")
    assert list(Path("all").iterdir()) == [Path("all") / several.path.name]
    assert not (several.path / "metrics.csv").exists()


class Failing(Logger):
    """A logger whose logs fail at `where`."""

    def __init__(self, where: str, error: Exception, seen: list[str]) -> None:
        self.where, self.error, self.seen = where, error, seen

    def open(self, folder: Path, config: Mapping[str, Any]) -> Log:
        self.at("open")
        return FailingLog(self)

    def at(self, place: str) -> None:
        self.seen.append(place)
        if place == self.where:
            raise self.error


class FailingLog(Log):
    def __init__(self, logger: Failing) -> None:
        self.logger = logger

    @property
    def address(self) -> str:
        return "somewhere"

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        self.logger.at("log")

    def finish(self) -> None:
        self.logger.at("finish")


@pytest.mark.parametrize("where", ["open", "log", "finish"])
def test_a_logger_that_fails_is_left_out(
    where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    others: list[str] = []
    logs = Logs()
    logs.open(
        {"bad": Failing(where, KeyError("x"), seen), "good": Failing("", KeyError(), others)},
        tmp_path, {},
    )  # fmt: skip
    logs.log({"loss": 1.0}, 1)
    logs.log({"loss": 1.0}, 2)
    logs.finish()
    logs.finish()
    assert others == ["open", "log", "log", "finish"]
    assert seen == others[: others.index(where) + 1]
    assert logs.addresses == {"good": "somewhere"}
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "warning: logger bad is off from here on: KeyError: 'x'"


def test_a_disk_that_refuses_is_raised_when_the_others_are_finished(tmp_path: Path) -> None:
    seen: list[str] = []
    others: list[str] = []
    full = DiskError(28, "no space", "full")
    logs = Logs()
    logs.open(
        {"bad": Failing("finish", full, seen), "good": Failing("", full, others)}, tmp_path, {}
    )
    with pytest.raises(DiskError, match="full"):
        logs.finish()
    assert others == ["open", "finish"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("logger.csv=3",), r"logger\.csv must be a node with a _target_, got 3"),
        (("+logger.project=x",), r"logger\.project must be a node .* logger\.wandb\.project"),
        (("logger.csv._target_=fokker.tracking.Logger",), "from which others are derived"),
    ],
)
@pytest.mark.usefixtures("workdir")
def test_what_is_no_logger_is_refused(words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        run(*words)
