"""A second device made of the CPU, on which torch refuses what it refuses on a GPU.

Every operation runs on the CPU, but a tensor that was moved to `DEVICE` is of another device for
torch: an operation that mixes it with a CPU tensor of one dimension or more is refused, and a CPU
generator may not fill it. Where a GPU's host would wait until the GPU has done all that was asked
of it, the wait is counted in `WAITS`, by the line of fokker that caused it: where a number is read
off the device, where the shape of a result depends on numbers, and at a copy to or from the device
that is not `non_blocking`.

A process has the device for good, so its tests have processes of their own.
"""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

import fokker

_setup_privateuseone_for_python_backend("second")
DEVICE = torch.device("second", 0)
#: How often each line of fokker has waited for the device.
WAITS: Counter[str] = Counter()
PACKAGE = str(Path(fokker.__file__).parent)

aten = torch.ops.aten
#: The shape of what these give, or whether they give true, depends on numbers of the device.
DEPEND_ON_NUMBERS = {
    "aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::unique_dim", "aten::bincount",
    "aten::equal", "aten::is_nonzero",
}  # fmt: skip


class Placed(Tensor):
    """A tensor of the second device; `raw` holds its numbers."""

    raw: Tensor

    @staticmethod
    def __new__(cls, raw: Tensor) -> "Placed":
        made: Placed = torch.Tensor._make_wrapper_subclass(
            cls, raw.size(), strides=raw.stride(), storage_offset=raw.storage_offset(),
            dtype=raw.dtype, device=DEVICE, requires_grad=False,
        )  # fmt: skip
        made.raw = raw
        return made

    def __repr__(self) -> str:
        return f"Placed({self.raw})"

    def __reduce_ex__(self, protocol: Any) -> Any:  # A checkpoint is read onto the CPU.
        return self.raw.__reduce_ex__(protocol)

    def tolist(self) -> Any:  # Torch refuses it to subclasses.
        _count_wait()
        return self.raw.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("a tensor of the second device has no numpy array; use .cpu() first")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class SecondDevice(TorchDispatchMode):
    """The device exists inside it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if Placed not in types and not _is_ours(kwargs.get("device")):  # All on the CPU.
            return func(*args, **kwargs)
        return _run(func, args, kwargs)


def _count_wait() -> None:
    frame = sys._getframe()
    while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    if frame is not None:
        WAITS[f"{frame.f_code.co_filename[len(PACKAGE) + 1:]}:{frame.f_lineno}"] += 1


def _raw(value: Any) -> Any:
    return value.raw if isinstance(value, Placed) else value


def _is_ours(device: Any) -> bool:
    return device is not None and torch.device(device).type == DEVICE.type


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    leaves = tree_leaves((args, kwargs))
    placed = [t for t in leaves if isinstance(t, Placed)]
    if func is aten._to_copy.default:
        return _copied(func, args[0], kwargs)
    if func is aten.copy_.default:
        if isinstance(args[0], Placed) != isinstance(args[1], Placed) and not any(args[2:]):
            _count_wait()
        _raw(args[0]).copy_(_raw(args[1]))
        return args[0]
    if placed:
        _check(func, leaves, placed)
    if func is aten._local_scalar_dense.default:
        if placed:
            _count_wait()
        return func(_raw(args[0]))
    if func in (aten.detach.default, aten.alias.default) and placed:
        return Placed(args[0].raw)
    made_here = _is_ours(kwargs.get("device"))
    plain_args, plain_kwargs = tree_map(_raw, (args, dict(kwargs)))
    if made_here:
        plain_kwargs["device"] = torch.device("cpu")
    result = func(*plain_args, **plain_kwargs)
    if not (placed or made_here):
        return result
    is_in_place = func._schema.is_mutable and func._schema.name.endswith("_")
    if is_in_place and args and isinstance(args[0], Placed):
        return args[0]
    return tree_map(_placed_again(placed), result)


def _copied(func: Any, source: Tensor, kwargs: dict[str, Any]) -> Tensor:
    """`Tensor.to`, into another type or to another device."""
    kwargs = dict(kwargs)
    device = kwargs.pop("device", None)
    was_here = isinstance(source, Placed)
    is_here = was_here if device is None else _is_ours(device)
    # From a device a copy that is not waited for would not be there when it is read.
    if (was_here and not is_here) or (is_here and not was_here and not kwargs.get("non_blocking")):
        _count_wait()
    copy = func(_raw(source), **kwargs)
    return Placed(copy) if is_here else copy


def _check(func: Any, leaves: list[Any], placed: list[Placed]) -> None:
    """Refuse what a GPU would refuse, and count where it would be waited for."""
    elsewhere = [
        tuple(t.shape)
        for t in leaves
        if isinstance(t, Tensor) and not isinstance(t, Placed) and t.dim() > 0
    ]
    if elsewhere:
        raise RuntimeError(
            f"Expected all tensors to be on the same device: {func} got shapes "
            f"{[tuple(t.shape) for t in placed]} on the second device and {elsewhere} on the CPU"
        )
    if any(isinstance(value, torch.Generator) for value in leaves):
        raise RuntimeError("a CPU generator cannot fill a tensor of the second device")
    name = func._schema.name
    by_mask = name in ("aten::index", "aten::index_put_") and any(
        t.dtype in (torch.bool, torch.uint8) for t in placed[1:]
    )
    if name in DEPEND_ON_NUMBERS or by_mask:
        _count_wait()


def _placed_again(placed: list[Placed]) -> Callable[[Any], Any]:
    """What puts results on the device; those that are an argument stay that argument."""
    known = {id(t.raw): t for t in placed}

    def place(value: Any) -> Any:
        if not isinstance(value, Tensor) or isinstance(value, Placed):
            return value
        return known[id(value)] if id(value) in known else Placed(value)

    return place


# `new_tensor` and the like reach the device below the mode: they find kernels of its own.
_kernels = torch.library.Library("aten", "IMPL")


def _empty_strided(
    size: Any, stride: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: Any = None,
) -> Placed:  # fmt: skip
    return Placed(torch.empty_strided(size, stride, dtype=dtype))


def _empty(
    size: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: Any = None, memory_format: Any = None,
) -> Placed:  # fmt: skip
    return Placed(torch.empty(size, dtype=dtype))


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    if isinstance(source, Placed) != isinstance(target, Placed) and not non_blocking:
        _count_wait()
    _raw(target).copy_(_raw(source))
    return target


def _silu_backward(gradient: Tensor, x: Tensor) -> Tensor:
    # Without a kernel torch composes it of others, which round otherwise than the CPU's.
    return Placed(aten.silu_backward(_raw(gradient), _raw(x)))


_kernels.impl("silu_backward", _silu_backward, "PrivateUse1")
_kernels.impl("empty_strided", _empty_strided, "PrivateUse1")
_kernels.impl("empty.memory_format", _empty, "PrivateUse1")
_kernels.impl("_copy_from", _copy_from, "PrivateUse1")
