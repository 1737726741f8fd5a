"""Batches made by other processes while the training computes."""

import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.context import ForkContext, ForkProcess
from typing import final

import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from fokker.data.batch import Batch

Make = Callable[[int, int], Batch]
#: Signals of a keyboard, a scheduler or the system, or of a terminal that is closed.
HEEDED_BY_TRAINING = (
    signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP,
)  # fmt: skip


class LostWorker(RuntimeError):
    """A process that made batches has died."""


@final
@dataclass(frozen=True)
class _Failure:
    """The error that a worker met, to be raised again where the batch is asked for."""

    error: Exception
    text: str


@final
class _Batches(Dataset[Batch | _Failure]):
    """A data set whose item at (start, stop) is a batch."""

    def __init__(self, batch: Make) -> None:
        self._batch = batch

    def __getitem__(self, place: tuple[int, int]) -> Batch | _Failure:
        try:
            return self._batch(*place)
        except Exception as error:  # The loader would raise the same class with another message.
            return _Failure(error, traceback.format_exc())


@final
class _Places(Sampler[tuple[int, int]]):
    """An endless series of places (start, stop), each a stride after the one before."""

    def __init__(self, start: int, stop: int, stride: int) -> None:
        self._place, self._stride = (start, stop), stride

    def __iter__(self) -> Iterator[tuple[int, int]]:
        start, stop = self._place
        while True:
            yield start, stop
            start, stop = start + self._stride, stop + self._stride


class _Worker(ForkProcess):
    """A process that is killed in place of being asked to end, as it ignores signals."""

    def terminate(self) -> None:
        self.kill()


class _Workers(ForkContext):
    """A context of forked processes, so that data are neither copied nor pickled."""

    Process = _Worker


@final
class Ahead:
    """A function of (start, stop) whose next values are made by workers in advance.

    The values are those of the function itself, however many workers there are.

    Args:
        batch: the function that returns data start to stop of a stream.
        stride: the distance between the starts of two successive batches.
        workers: the number of processes.
    """

    def __init__(self, batch: Make, stride: int, workers: int) -> None:
        self._batch, self._stride, self._workers = batch, stride, workers
        self._next = (-1, -1)
        self._made: Iterator[Batch | _Failure] = iter(())

    def __call__(self, start: int, stop: int) -> Batch:
        if (start, stop) != self._next:
            self._begin(start, stop)
        self._next = start + self._stride, stop + self._stride
        try:
            made = next(self._made)
        except (RuntimeError, OSError) as error:
            raise LostWorker(
                "a worker that makes batches has died, perhaps for want of memory; the same "
                "command goes on from the last save, and takes less memory with fewer data.workers"
            ) from error
        if isinstance(made, _Failure):
            raise made.error from RuntimeError(f"in a worker of the data:\n{made.text}")
        return made

    def _begin(self, start: int, stop: int) -> None:
        self.close()
        with warnings.catch_warnings():  # build_data has already warned of too many workers.
            warnings.filterwarnings("ignore", "This DataLoader will create")
            loader: DataLoader[Batch | _Failure] = DataLoader(
                _Batches(self._batch),
                batch_size=None,  # An item is a batch.
                sampler=_Places(start, stop, self._stride),
                num_workers=self._workers,
                pin_memory=torch.cuda.is_available(),
                multiprocessing_context=_Workers(),
                worker_init_fn=_heed_no_signals,
            )
        heard = signal.getsignal(signal.SIGCHLD)
        self._made = iter(loader)
        if threading.current_thread() is threading.main_thread():
            # Torch's own handler would raise at any point of the training when a worker dies.
            signal.signal(signal.SIGCHLD, heard)

    def close(self) -> None:
        """End the workers, even if something else still refers to them, such as a traceback."""
        if isinstance(self._made, _MultiProcessingDataLoaderIter):
            self._made._shutdown_workers()  # Lightning ends them by the same method.
        self._next, self._made = (-1, -1), iter(())


def _heed_no_signals(worker: int) -> None:
    """Ignore signals that go to all processes of a job: the training ends its own workers.

    Workers also end by themselves when the training is gone.
    """
    for number in HEEDED_BY_TRAINING:
        signal.signal(number, signal.SIG_IGN)
