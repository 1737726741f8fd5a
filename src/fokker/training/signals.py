"""Signals in a training, which then ends between two blocks of steps, where it can be saved."""

from collections.abc import Callable
from typing import final

import lightning as L
import torch

from fokker.machine.ranks import Ranks
from fokker.machine.signals import Interrupted, Signals


class Stop(BaseException):
    """A stop of a training, in all ranks at once; its state is then saved."""


class InterruptedTraining(Interrupted):
    """A training that was told to stop before its last step; what is done is saved.

    Args:
        number: the number of the signal.
        step: the steps that are saved.
        max_steps: the steps that were asked for.
        begun: the steps with which the training began.
    """

    def __init__(self, number: int, step: int, max_steps: int, begun: int = 0) -> None:
        text = f"stopped, saved at step {step} of {max_steps}; the same command goes on there"
        super().__init__(number, text, step > begun)


@final
class Stopping(L.Callback):
    """A callback that ends a training if one of its ranks got a signal; `Saving` precedes it.

    Args:
        signals: the signals of the process, which are only noted in a training.
        ranks: the ranks of the training.
    """

    def __init__(self, signals: Signals, ranks: Ranks) -> None:
        self._signals, self._ranks = signals, ranks

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._ask()

    def on_train_batch_end(self, trainer: L.Trainer, *_: object, **__: object) -> None:
        self._ask()

    def _ask(self) -> None:
        self._signals.asked = int(self._ranks.largest(torch.tensor(self._signals.asked)))
        if self._signals.asked:
            raise Stop


#: A function that is told the signal which ended a run, and whether the run had advanced.
Stopped = Callable[[int, bool], None]
