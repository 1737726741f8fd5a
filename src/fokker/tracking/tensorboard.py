"""A logger for TensorBoard, by lightning's own."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import final

from fokker.machine.disk import short
from fokker.machine.files import read_json
from fokker.store.records import read_record
from fokker.tracking.loggers import Log, Logger, numbers


@final
class TensorBoard(Logger):
    """A logger that writes TensorBoard's files: curves by step, and the run's numbers at its end.

    Args:
        folder: the folder in which each run makes one of its own name, so that one command displays
            several; null: `tensorboard/` in the run's folder.
    Raises:
        ValueError: if the package `tensorboard` is not installed.
    """

    def __init__(self, folder: str | None = None) -> None:
        if find_spec("tensorboard") is None:
            raise ValueError(
                "logger=tensorboard needs the package tensorboard, which is not installed; say "
                "pip install 'fokker[tensorboard]'"
            )
        self._folder = folder

    def open(self, folder: Path, config: Mapping[str, object]) -> Log:
        place = folder / "tensorboard"
        if self._folder is not None:
            place = Path(self._folder).expanduser() / folder.name
        return TensorBoardLog(folder, place, config)


@final
class TensorBoardLog:
    """The TensorBoard files of one run.

    Args:
        folder: the folder of the run.
        place: the folder of the files.
        config: the resolved configuration, written among the hyperparameters.
    """

    def __init__(self, folder: Path, place: Path, config: Mapping[str, object]) -> None:
        from lightning.pytorch.loggers import TensorBoardLogger

        self._run, self._place, self._config, self._step = folder, place, config, 0
        self._made = TensorBoardLogger(place.parent, name="", version=place.name)

    @property
    def address(self) -> str:
        return str(short(self._place))

    def log(self, metrics: Mapping[str, object], step: int) -> None:
        self._step = step
        self._made.log_metrics({k: v for k, v in numbers(metrics).items() if k != "step"}, step)

    def finish(self) -> None:
        record = read_record(self._run / "run.json")
        found = self._run / "metrics.json"
        metrics = numbers(read_json(found)) if found.is_file() else {}
        # A curve may have the name of one of the metrics.
        of_run = {f"run/{name}": value for name, value in metrics.items()}
        self._made.log_hyperparams(dict(self._config), of_run)
        import numpy as np
        from PIL import Image

        for path in sorted((self._run / "figures").glob("*.png")):
            picture = np.asarray(Image.open(path).convert("RGB"))
            self._made.experiment.add_image(path.stem, picture, self._step, dataformats="HWC")
        self._made.finalize("success" if record.get("status") == "completed" else "failed")
