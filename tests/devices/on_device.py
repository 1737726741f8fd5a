"""Runs on the device that is tested: the second device, or with FOKKER_TEST_DEVICE=cuda a GPU.

Each test has a process of its own, in which it compares the device with the CPU: the second device
to the bit, a GPU to a relative 1e-4 (TF32 is off).
"""

import os
import socket
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from lightning.pytorch.accelerators import AcceleratorRegistry, CPUAccelerator
from torch import Tensor

from children import Child

NAME = os.environ.get("FOKKER_TEST_DEVICE", "second")
IS_GPU = NAME == "cuda"


def in_own_process(work: Callable[..., None], folder: Path, *arguments: str) -> None:
    """Call `work(*arguments)` in a process of its own, which fails as it does."""
    _in_processes(work, folder, arguments, [{}])


def in_two_ranks(work: Callable[..., None], folder: Path, *arguments: str) -> None:
    """Call `work(*arguments)` in two processes, as the ranks of one run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {
        "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }  # fmt: skip
    ranks = [{**common, "RANK": rank, "LOCAL_RANK": rank} for rank in "01"]
    _in_processes(work, folder, arguments, ranks)


def _in_processes(
    work: Callable[..., None],
    folder: Path,
    arguments: tuple[str, ...],
    environments: list[dict[str, str]],
) -> None:
    children = [
        Child(_begin, work, *arguments, folder=folder, env={**os.environ, **own})
        for own in environments
    ]
    with ThreadPoolExecutor(len(children)) as threads:
        ends = list(threads.map(lambda child: child.communicate(timeout=900)[1], children))
    assert [child.returncode for child in children] == [0] * len(children), "\n\n".join(ends)


def _begin(work: Callable[..., None], *arguments: str) -> None:
    if not IS_GPU:
        import second_device  # noqa: F401  Autograd counts devices at its first backward pass.
    work(*arguments)


class _Accelerator(CPUAccelerator):
    """Lightning's CPU accelerator, for a device that is no CPU."""

    @staticmethod
    def get_parallel_devices(devices: int) -> list[torch.device]:
        from second_device import DEVICE

        return [DEVICE] * devices

    def setup_device(self, device: torch.device) -> None:
        pass

    def teardown(self) -> None:
        pass


@contextmanager
def device() -> Iterator[torch.device]:
    """The device; inside it runs of fokker take it."""
    import fokker.config.build_task

    if IS_GPU:
        torch.backends.cudnn.allow_tf32 = False
        found = torch.device("cuda", 0)
        with mock.patch.object(fokker.config.build_task, "find_device", return_value=found):
            yield found
        return
    from second_device import DEVICE, SecondDevice

    AcceleratorRegistry.register(DEVICE.type, _Accelerator, override=True)
    found = mock.patch.object(fokker.config.build_task, "find_device", return_value=DEVICE)
    with found, SecondDevice():
        yield DEVICE


@contextmanager
def waits() -> Iterator[Counter[str]]:
    """How often the host waits for the device inside it, by the line that makes it wait."""
    if not IS_GPU:
        from second_device import WAITS

        before = WAITS.copy()
        found: Counter[str] = Counter()
        yield found
        found.update(WAITS - before)
        return
    found = Counter()

    def count(message: Any, category: Any, filename: str, lineno: int, *_: Any) -> None:
        found[f"{filename}:{lineno} {message}"] += 1

    with warnings.catch_warnings(), mock.patch.object(warnings, "showwarning", count):
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")


def assert_same(on_device: Tensor, on_cpu: Tensor) -> None:
    """That numbers of the device are those of the CPU."""
    on_device = on_device.detach().cpu()
    if IS_GPU:
        torch.testing.assert_close(on_device, on_cpu, rtol=1e-4, atol=1e-4)
    else:
        assert torch.equal(on_device, on_cpu), float((on_device - on_cpu).abs().max())
