"""Signals that end a run: what is done is saved, and the exit code says which it was."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, final

import lightning as L
import torch

from fokker.formulations import Diffusion
from fokker.ranks import ALONE, Ranks

#: Ctrl-C; the end of a process' time, from the system or a scheduler; of its terminal.
HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
ANEW = "stopped; the same command makes the run anew, and keeps a model that is trained"


class Stop(BaseException):
    """A training ends here, in all ranks at once, and is saved."""


class Interrupted(SystemExit):
    """A run that was told to stop.

    Args:
        number: the signal's.
        text: what is done and how it goes on.
        has_advanced: whether steps were made and saved since it began.
    """

    def __init__(self, number: int, text: str, has_advanced: bool = False) -> None:
        super().__init__(128 + number)
        self.number, self._text, self.has_advanced = number, text, has_advanced

    def __str__(self) -> str:
        return self._text


class InterruptedTraining(Interrupted):
    """A training that was told to stop before its last step; what is done is saved.

    Args:
        number: the signal's.
        step: the steps that are saved.
        max_steps: those that were asked for.
        begun: the steps that it began with.
    """

    def __init__(self, number: int, step: int, max_steps: int, begun: int = 0) -> None:
        text = f"stopped, saved at step {step} of {max_steps}; the same command goes on there"
        super().__init__(number, text, step > begun)


@final
class Signals(L.Callback):
    """Hears the signals of a run.

    A training ends between two blocks of steps, where all is saved, as soon as one of its ranks
    was told to; a second ctrl-C ends it at once. Elsewhere nothing has to be saved.

    Attributes:
        asked: the number of the signal that came; 0: none.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.is_training = self.is_over = False
        self._ranks = ALONE

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Hear them, those that mean nothing else to this process."""
        before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            before = {number: signal.getsignal(number) for number in HEARD}
            if before[signal.SIGINT] is not signal.default_int_handler:
                del before[signal.SIGINT]
            if before[signal.SIGHUP] is signal.SIG_IGN:  # By nohup, which means it.
                del before[signal.SIGHUP]
        for number in before:
            signal.signal(number, self._hear)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def in_training(self, ranks: Ranks) -> Iterator[None]:
        """Note them, for the end of a block of steps."""
        self._ranks, self.is_training = ranks, True
        try:
            yield
        finally:
            self.is_training = False

    def _hear(self, number: int, frame: Any) -> None:
        if self.is_over:  # A scheduler does not say it once.
            return
        second, self.asked = self.asked == signal.SIGINT, number
        if number == signal.SIGINT and second:
            raise KeyboardInterrupt("stopped at once; the same command goes on from the last save")
        if not self.is_training:
            if number == signal.SIGINT:
                raise KeyboardInterrupt(ANEW)
            self.is_over = True
            raise Interrupted(number, ANEW)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Lightning has set a handler of its own for SIGTERM, which waits for the other ranks.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._hear)

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: L.Trainer, pl_module: Diffusion, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.asked = int(self._ranks.largest(torch.tensor(self.asked)))
        if self.asked:
            self.is_over = self.asked != signal.SIGINT
            raise Stop


#: Told the signal that has ended a run and whether it has advanced before, when all is saved.
Stopped = Callable[[int, bool], None]
