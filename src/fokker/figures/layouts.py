"""Kinds of drawings for samples of a shape and a layout."""

import math
from typing import Literal, TypeAlias

Layout: TypeAlias = Literal["points", "image", "volume", "series"]
Kind: TypeAlias = Literal["line", "plane", "space", "other", "image", "volume", "series"]

_BY_RANK: dict[int, Layout] = {1: "points", 2: "image", 3: "image", 4: "volume"}
_RANKS: dict[Layout, tuple[tuple[int, ...], str]] = {
    "image": ((2, 3), "(height, width) or (channels, height, width)"),
    "volume": ((3, 4), "(depth, height, width) or (channels, depth, height, width)"),
    "series": ((1, 2), "(time,) or (time, features)"),
}
_POINTS: dict[int, Kind] = {1: "line", 2: "plane", 3: "space"}


def layout_by_rank(shape: tuple[int, ...]) -> Layout:
    """Return the layout of a shape of one sample if nothing else is given."""
    return _BY_RANK.get(len(shape), "points")


def kind_of(shape: tuple[int, ...], layout: Layout | None = None) -> Kind:
    """Return the kind of drawing for samples.

    Args:
        shape: the shape of one sample; points (d,), an image (c, h, w) or (h, w), a volume
            (c, d, h, w), a series (time, features). Points of another rank are flattened.
        layout: none to choose by rank: 1 points, 2 and 3 image, 4 volume, others points.

    Raises:
        ValueError: the shape is empty, or does not fit the layout.
    """
    shape = tuple(shape)
    if not shape or min(shape) < 1:
        raise ValueError(f"shape must be of one sample, all >= 1, got {shape}: nothing to draw")
    layout = layout or layout_by_rank(shape)
    if layout == "points":
        return _POINTS.get(math.prod(shape), "other")
    if layout not in _RANKS:
        raise ValueError(f"layout must be points, image, volume or series, got {layout!r}")
    ranks, form = _RANKS[layout]
    if len(shape) not in ranks:
        raise ValueError(
            f"shape of layout={layout} must be {form}, got {shape}: no drawing for such data"
        )
    return layout
