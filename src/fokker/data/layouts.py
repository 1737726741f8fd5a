"""Layouts: the meaning of the axes of an array of points."""

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor

Layout: TypeAlias = Literal["points", "image", "volume", "series"]

#: The layout for each rank of one sample: (d,), (time, features), (c, h, w), (c, d, h, w).
_OF_RANK: dict[int, Layout] = {1: "points", 2: "series", 3: "image", 4: "volume"}
#: The layout for each rank of an array if the user names none.
_USUAL: dict[int, Layout] = {2: "points", 3: "image", 4: "image", 5: "volume"}
#: The ranks of the arrays that a layout takes, and their description in messages.
_RANKS: dict[Layout, tuple[tuple[int, ...], str]] = {
    "image": ((3, 4), "3 (n, height, width) or 4 (n, channels, height, width)"),
    "volume": ((4, 5), "4 (n, depth, height, width) or 5 (n, channels, depth, height, width)"),
    "series": ((2, 3), "2 (n, time) or 3 (n, time, features)"),
}
#: The word for one feature in each layout.
FEATURES: dict[Layout, str] = {
    "points": "column", "image": "channel", "volume": "channel", "series": "feature",
}  # fmt: skip
#: The sizes of a last axis that suggest that it holds the channels.
_CHANNELS = (1, 3, 4)


def layout_of(shape: tuple[int, ...]) -> Layout:
    """Return the layout of samples of a shape inside fokker; `points` for any other rank."""
    return _OF_RANK.get(len(shape), "points")


def features_of(shape: tuple[int, ...]) -> Tensor:
    """Return the index of the feature that each element of a sample belongs to, (d,).

    A feature is a column of points, a channel of images and volumes, and the last axis of series.
    """
    places = torch.arange(math.prod(shape))
    layout = layout_of(shape)
    if layout == "series":
        return places % shape[-1]
    return places if layout == "points" else places // math.prod(shape[1:])


def arranged(shape: tuple[int, ...], layout: Layout | None, where: str) -> tuple[int, ...]:
    """Return the shape that one sample has inside fokker.

    Args:
        shape: the shape of the array of all points, (n, ...).
        layout: the meaning of its axes; none to choose it by the rank.
        where: a name of the array for messages.
    Raises:
        ValueError: if the layout does not fit the rank, or the channels seem to come last.
    """
    chosen = layout or _USUAL.get(len(shape))
    if chosen is None:
        raise ValueError(
            f"{where} must hold an array of rank 2 (n, d), 3 (n, height, width), 4 (n, channels, "
            f"height, width) or 5 (n, channels, depth, height, width), got the shape {shape}; "
            "points of one dimension are (n, 1), and data.layout=points flattens others"
        )
    if chosen == "points":
        if len(shape) < 2:
            raise ValueError(
                f"data.layout=points needs an array of rank 2 or more, (n, d), and {where} has the "
                f"shape {shape}; points of one dimension are (n, 1)"
            )
        return (math.prod(shape[1:]),)
    ranks, words = _RANKS[chosen]
    if len(shape) not in ranks:
        raise ValueError(
            f"data.layout={chosen} needs an array of rank {words}, and {where} has the shape "
            f"{shape}; reshape it, or choose data.layout=points, which flattens it"
        )
    last_is_thin = shape[-1] == 1 < shape[1] or (
        shape[-1] in _CHANNELS and shape[1] not in _CHANNELS
    )
    if layout is None and len(shape) > 3 and last_is_thin:
        moved = (shape[0], shape[-1], *shape[1:-1])
        raise ValueError(
            f"{where} must hold channels first, and its shape {shape} looks as if they came last; "
            f"transpose it to {moved} by numpy.moveaxis(x, -1, 1), or say data.layout={chosen} if "
            f"axis 1 is the channels"
        )
    if len(shape) == ranks[1]:
        return shape[1:]
    return (*shape[1:], 1) if chosen == "series" else (1, *shape[1:])
