"""Copies to a device that the host does not wait for, and the memory that a run has taken."""

import resource
import sys
from collections import deque
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

# The most copies on the way to a device at once. A host that runs further ahead fills its memory.
ON_THE_WAY = 16


def moved(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Return the tensor on a device; the host does not wait for the copy.

    A tensor that is on the device already is returned as it is. A copy to a GPU starts from pinned
    memory: from other memory the host waits until the device has done all its earlier work.
    """
    device = torch.device(device)
    if tensor.device.type == device.type and device.index in (None, tensor.device.index):
        return tensor
    if tensor.device.type == "cpu" and device.type == "cuda":
        tensor = tensor.contiguous().pin_memory()
    return tensor.to(device, non_blocking=True)


@final
class Carrier:
    """A callable that copies tensors to a device as `moved` does, `ON_THE_WAY` at most at once.

    Args:
        device: the device that the tensors go to.
    """

    def __init__(self, device: torch.device | str) -> None:
        self._device = torch.device(device)
        self._on_the_way: deque[Any] = deque()

    def __call__(self, tensor: Tensor) -> Tensor:
        if self._device.type != "cuda":
            return moved(tensor, self._device)
        if len(self._on_the_way) == ON_THE_WAY:
            self._on_the_way.popleft().synchronize()
        copy = moved(tensor, self._device)
        self._on_the_way.append(torch.cuda.current_stream(self._device).record_event())
        return copy


def peak_memory(device: torch.device) -> dict[str, int]:
    """Return the most memory that this process has used so far, in bytes.

    `host_peak_bytes` is the resident memory of the process, `device_peak_bytes` the memory that
    torch had allocated on a GPU. Other devices have no entry of their own.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    peak = {"host_peak_bytes": unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    if device.type == "cuda":
        peak["device_peak_bytes"] = torch.cuda.max_memory_allocated(device)
    return peak


def forget_peak(device: torch.device) -> None:
    """Reset the peak of `peak_memory` on a GPU; that of the process on the host only grows."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done all its work, so that a measured time includes it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def described(device: torch.device) -> str:
    """Name a device for a user, for instance `cpu, 1 thread`."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu, {threads} thread{'' if threads == 1 else 's'}"
    return str(device)


def memory_text(peak: Mapping[str, int]) -> str:
    """Format the result of `peak_memory`, for instance `host 0.61 GB`."""
    names = {"host_peak_bytes": "host", "device_peak_bytes": "device"}
    return ", ".join(f"{names[key]} {number / 1e9:.2f} GB" for key, number in peak.items())


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error says that a device or the machine has no more memory.

    torch has no error class of its own for the CPU, so the message is searched too.
    """
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)
