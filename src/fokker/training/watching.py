"""The early end of a training by a watch, which gets its curve."""

from collections.abc import Callable
from typing import Any, final

import lightning as L

from fokker.machine.ranks import Ranks
from fokker.store.curves import read_json_lines
from fokker.store.models import ModelFolder

#: A function that gets each row of a curve as (metrics, step), and tells whether to end there.
Watch = Callable[[dict[str, Any], int], bool]


class Pruned(Exception):
    """A training that was ended because it promised too little; what is done is saved.

    Args:
        step: the steps that are saved.
        max_steps: the steps that were asked for.
    """

    def __init__(self, step: int, max_steps: int) -> None:
        super().__init__(step, max_steps)

    def __str__(self) -> str:
        step, max_steps = self.args
        return f"stopped at step {step} of {max_steps}, where it promised too little"


@final
class Watching(L.Callback):
    """A callback that passes the curve to a watch, which may end the training.

    It must come after the callback that saves. If a training is continued, the watch first gets the
    rows that are there. At the last step its answer does not count: there is nothing to end.

    Args:
        folder: the folder where metrics.jsonl lies.
        watch: the watch, which the first rank asks for all ranks.
        ranks: the ranks of the training.
    """

    def __init__(self, folder: ModelFolder, watch: Watch, ranks: Ranks) -> None:
        self._folder, self._watch, self._ranks = folder, watch, ranks
        self._line: tuple[dict[str, Any], int] | None = None

    def listen(self, metrics: dict[str, Any], step: int) -> None:
        """Keep a row of the curve until the save: to end the training here would precede it."""
        self._line = (metrics, step)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._ranks.is_first:
            for row in read_json_lines(self._folder.curves):
                self._watch(row, row["step"])

    def on_train_batch_end(self, trainer: L.Trainer, *_: object, **__: object) -> None:
        line, self._line = self._line, None
        if self._ranks.first_says(lambda: line is not None and self._watch(*line)) and (
            trainer.global_step < trainer.max_steps
        ):
            raise Pruned(trainer.global_step, trainer.max_steps)
