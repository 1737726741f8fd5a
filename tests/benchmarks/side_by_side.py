"""Many samplings at once, whose evaluations of one denoiser are done in one batch."""

import threading
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]


@final
class SideBySide:
    """Runs functions that each call a denoiser as often as the others.

    Each has a thread, and one of them runs at a time: it goes on until it asks for D, and then lets
    the next one go on; the last one asks for all.

    Args:
        denoise: D(y; sigma), y (n, d), sigma (n,).
    """

    def __init__(self, denoise: Denoise) -> None:
        self._denoise = denoise

    def run(self, samplings: list[Callable[[Denoise], Tensor]]) -> list[Tensor]:
        """What each of them returns, given its denoiser."""
        turns = [threading.Semaphore(0) for _ in samplings]
        asked: list[tuple[Tensor, Tensor]] = [(torch.empty(0), torch.empty(0))] * len(samplings)
        results = [torch.empty(0)] * len(samplings)

        def go(k: int) -> None:
            def denoise(y: Tensor, sigma: Tensor) -> Tensor:
                asked[k] = y, sigma.double().expand(len(y))
                if k == len(samplings) - 1:
                    batch = self._denoise(*(torch.cat(parts) for parts in zip(*asked)))
                    results[:] = batch.split([len(state) for state, _ in asked])
                turns[(k + 1) % len(turns)].release()
                turns[k].acquire()
                return results[k]

            turns[k].acquire()
            try:
                ends[k] = samplings[k](denoise)
            except Exception as error:
                failed.append(error)
            finally:
                turns[(k + 1) % len(turns)].release()

        ends, failed = [torch.empty(0)] * len(samplings), list[Exception]()
        threads = [threading.Thread(target=go, args=(k,)) for k in range(len(samplings))]
        for thread in threads:
            thread.start()
        turns[0].release()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        return ends
