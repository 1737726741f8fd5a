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
#: From a keyboard, a scheduler or the system, or of a terminal that is closed.
HEEDED_BY_TRAINING = (
    signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP,
)  # fmt: skip


class LostWorker(RuntimeError):
    """A process that made batches has died."""


@final
@dataclass(frozen=True)
class _Failure:
    """What a worker ran into, to be raised where the batch is asked for."""

    error: Exception
    text: str


@final
class _Batches(Dataset[Batch | _Failure]):
    """A batch as the item at (start, stop)."""

    def __init__(self, batch: Make) -> None:
        self._batch = batch

    def __getitem__(self, place: tuple[int, int]) -> Batch | _Failure:
        try:
            return self._batch(*place)
        except Exception as error:  # The loader would raise one of the same kind in other words.
            return _Failure(error, traceback.format_exc())


@final
class _Places(Sampler[tuple[int, int]]):
    """(start, stop), and the same a stride on, without end."""

    def __init__(self, start: int, stop: int, stride: int) -> None:
        self._place, self._stride = (start, stop), stride

    def __iter__(self) -> Iterator[tuple[int, int]]:
        start, stop = self._place
        while True:
            yield start, stop
            start, stop = start + self._stride, stop + self._stride


class _Worker(ForkProcess):
    """A process that is not asked to end, as it heeds no signals, but made to."""

    def terminate(self) -> None:
        self.kill()


class _Workers(ForkContext):
    """Forked, so that data are neither copied nor pickled."""

    Process = _Worker


@final
class Ahead:
    """A function of (start, stop) whose next values are being made by workers.

    The values are those of the function itself, however many workers there are.

    Args:
        batch: data start to stop of a stream.
        stride: how far behind one batch the next one starts.
        workers: how many processes.
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
        with warnings.catch_warnings():  # Of more workers than cores it is said once, before.
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
            # Torch's own would raise wherever the training is when a worker dies.
            signal.signal(signal.SIGCHLD, heard)

    def close(self) -> None:
        """End the workers, also those of which somebody else still knows, such as a traceback."""
        if isinstance(self._made, _MultiProcessingDataLoaderIter):
            self._made._shutdown_workers()  # As lightning ends them.
        self._next, self._made = (-1, -1), iter(())


def _heed_no_signals(worker: int) -> None:
    """A signal for all processes of a job is the training's, which ends its workers when it does.

    Without it they end by themselves.
    """
    for number in HEEDED_BY_TRAINING:
        signal.signal(number, signal.SIG_IGN)
