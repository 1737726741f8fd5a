"""Readers for points in files of other programs; they never run code from a file."""

import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fokker.data.csv_table import read_table
from fokker.data.given import Content
from fokker.machine.named_files import one_line

TABLES = (".csv", ".tsv")
TENSORS = (".pt", ".pth")


def read_file(path: Path, key: str | None, in_memory: bool) -> Content:
    """Read the points in a .csv, .tsv, .pt, .pth, .npz or .npy file, chosen by its suffix.

    Args:
        path: the path of the file.
        key: the name of the array in a file of several; none if there is only one.
        in_memory: whether to read all of it at once; else the array of a .npy file is mapped.
    Raises:
        ValueError: if the file is not of the kind that its suffix says, or has no array `key`.
    """
    where, kind = f"data.path={path}", path.suffix.lower()
    if kind in TABLES:
        _check_no_key(key, where)
        table, names = read_table(path, where)
        return Content(table, where, names)
    if kind in TENSORS:
        return _read_tensors(path, key, where)
    return Content(_read_arrays(path, key, in_memory, where), where)


def _check_no_key(key: str | None, where: str) -> None:
    if key is not None:
        raise ValueError(
            f"data.key must be null with {where}, which holds one array without a name, got "
            f"{one_line(key)}"
        )


def _chosen(names: Sequence[str], key: str | None, where: str, get: Callable[[str], Any]) -> Any:
    """Return the array of this name, or the only one."""
    if not names:
        raise ValueError(f"{where} must hold an array at its top, got none; save one there")
    name = names[0] if key is None and len(names) == 1 else key
    if name is None or name not in names:
        raise ValueError(f"data.key must name one of the arrays {names} in {where}, got {name}")
    return get(name)


def _read_arrays(path: Path, key: str | None, in_memory: bool, where: str) -> NDArray[Any]:
    def get(name: str) -> NDArray[Any]:
        try:
            return np.asarray(content[name])
        except _DAMAGE as error:
            raise _unreadable(where, error) from error

    try:
        content = np.load(path, None if in_memory else "r", allow_pickle=False)
    except _DAMAGE as error:
        raise _unreadable(where, error) from error
    if isinstance(content, np.ndarray):
        _check_no_key(key, where)
        return content
    with content:  # An .npz file reads an array, and finds damage, only when it is asked for.
        array: NDArray[Any] = _chosen(list(content), key, where, get)
    return array


_DAMAGE = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error)


def _unreadable(where: str, error: Exception) -> ValueError:
    return ValueError(
        f"{where} must be a .npy or .npz file of numbers, or end in .csv or .pt, and cannot be "
        f"read as one ({type(error).__name__}); write it by numpy.save"
    )


def _read_tensors(path: Path, key: str | None, where: str) -> Content:
    """Read a tensor, one of a dict of tensors, or the first of a pair (x, y)."""
    holds = f"{where} must hold a tensor, a dict of tensors or a pair (x, y) of tensors"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # Damage and forbidden content raise many kinds of errors.
        raise ValueError(
            f"{holds}, and cannot be read as one ({type(error).__name__}): what else it may hold "
            "is not loaded, for that could run code; write it by torch.save(x, ...)"
        ) from error
    note = ""
    if isinstance(content, dict):
        tensors = {str(name): x for name, x in content.items() if isinstance(x, Tensor)}
        content = _chosen(list(tensors), key, where, tensors.__getitem__)
    else:
        _check_no_key(key, where)
    if isinstance(content, (list, tuple)):
        sizes = [len(x) if isinstance(x, Tensor) and x.ndim else -1 for x in content]
        if len(sizes) not in (1, 2) or sizes[0] < 0 or len(set(sizes)) > 1:
            raise ValueError(
                f"{holds} of the same length, got a {type(content).__name__} of {len(sizes)}; "
                "make it one tensor by torch.stack"
            )
        note = "of the pair (x, y), y is ignored" if len(sizes) == 2 else ""
        content = content[0]
    if not isinstance(content, Tensor):
        raise ValueError(f"{holds}, got {type(content).__name__}; write it by torch.save(x, ...)")
    array, resolution = array_of(content, where)
    return Content(array, where, resolution=resolution, note=note)


def array_of(tensor: Tensor, where: str) -> tuple[NDArray[Any], float | None]:
    """Return a tensor as an array, and the resolution of its type if the array's is finer.

    Raises:
        ValueError: for a tensor that is not dense.
    """
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise ValueError(f"{where} must hold a dense tensor, got one that is {tensor.layout}")
    tensor, resolution = tensor.detach().cpu(), None
    # numpy does not know bfloat16 and the types of 8 bits.
    if tensor.is_floating_point() and tensor.dtype not in _KNOWN:
        tensor, resolution = tensor.float(), float(torch.finfo(tensor.dtype).eps)
    array: NDArray[Any] = tensor.resolve_conj().resolve_neg().numpy()
    return array, resolution


_KNOWN = (torch.float16, torch.float32, torch.float64)
