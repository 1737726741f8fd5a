"""Images in a mosaic: grey, in colour, channels next to each other, slices of volumes."""

import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from fokker.figures.arrays import Floats
from fokker.figures.layouts import Kind

MAX_CHANNELS = 8
# The repeats of a pixel in images so small that the gap between them would be as large.
_ENLARGED = 4
_GAP = "#cfe2f3"
_IMAGES_A_SIDE, _FEWEST_A_SIDE = 8, 4
# The dots of half a page at 200 dpi: larger images lose details.
_PANEL_DOTS = 620
# The largest ratio of the sides of a mosaic at which pixels are squares.
_MAX_RATIO = 8.0


@final
@dataclass(frozen=True)
class Images:
    """Samples as images.

    Attributes:
        pixels: the pixels, (n, c, h, w).
        channels: the number of channels that are drawn, each in grey; 0 for one grey or colour
            image of all.
        note: a text that a reader has to know, or nothing.
    """

    pixels: Floats
    channels: int
    note: str

    @property
    def ratio(self) -> float:
        """Return the height divided by the width of one channel."""
        height, width = self.pixels.shape[-2:]
        return float(height / width)

    @property
    def is_tiny(self) -> bool:
        """Tell whether images are so small that a white gap of one pixel looks like a pixel."""
        height, width = self.pixels.shape[-2:]
        return bool(min(height, width) == 1 or max(height, width) < _ENLARGED)

    def first(self, count: int) -> "Images":
        """Return only the first samples."""
        return replace(self, pixels=self.pixels[:count])


def as_images(
    rows: Floats, shape: tuple[int, ...], kind: Kind, max_channels: int = MAX_CHANNELS
) -> Images:
    """Return samples (n, d) as images.

    A volume gives the middle slice along its first axis. One channel is grey, three are colours.
    With any other number the first `max_channels` are grey images of their own: RGBA cannot be
    told from latents.

    Args:
        rows: the samples, (n, d).
        shape: the shape of one sample, (h, w), (c, h, w), (d, h, w) or (c, d, h, w).
        kind: image or volume.
        max_channels: the largest number of grey channels.
    """
    notes = []
    if kind == "volume":
        whole = rows.reshape(-1, *(1,) * (4 - len(shape)), *shape)
        depth = whole.shape[2]
        middle = (depth - 1) // 2
        pixels = whole[:, :, middle]
        notes.append(f"middle slice, {middle + 1} of {depth}")
    else:
        pixels = rows.reshape(-1, *(1,) * (3 - len(shape)), *shape)
    count = pixels.shape[1]
    channels = 0 if count in (1, 3) else min(count, max_channels)
    if channels:
        some = f"channels 1 to {channels} of {count}"
        which = f"its {count} channels" if channels == count else some
        notes.append(f"each sample as {which}")
    return Images(pixels, channels, "; ".join(notes))


@final
@dataclass(frozen=True)
class Arrangement:
    """The number of samples in a mosaic, down and across."""

    down: int
    across: int

    @property
    def count(self) -> int:
        return self.down * self.across


def arrangement(images: Images, available: int) -> Arrangement:
    """Return 8 x 8 samples for half a page, fewer for large images or several channels.

    Long and narrow images get more next to each other, so that the mosaic is not long and narrow.
    """
    fitting = _PANEL_DOTS // max(images.pixels.shape[-2:])
    side = min(max(fitting, _FEWEST_A_SIDE), _IMAGES_A_SIDE)
    channels = max(1, images.channels)
    across, down = side, side
    if channels > 1:
        across, down = max(1, 4 // channels), max(4, channels)
    if not 0.5 <= images.ratio <= 2:
        longer = math.sqrt(images.ratio)
        across = int(np.clip(round(across * longer), 1, 64))
        down = int(np.clip(round(down / longer), 1, 64))
    across = min(across, available)
    return Arrangement(min(down, -(-available // across)), across)


def tiles(
    images: Images, limits: tuple[Floats, Floats], count: int, upright: bool = False
) -> Floats:
    """Return one picture of each of the first samples, (n, h, w) or in colour (n, h, w, 3).

    Grey channels are next to each other, or below each other, each scaled from 0 to 1 between its
    limits.

    Args:
        images: all samples.
        limits: the limits of each channel, (c,) each.
        count: the number of samples.
        upright: whether channels are below each other.
    """
    pixels = images.pixels[:count]
    if images.is_tiny and max(pixels.shape[-2:]) <= _PANEL_DOTS:
        pixels = pixels.repeat(_ENLARGED, axis=-1).repeat(_ENLARGED, axis=-2)
    if not images.channels:
        return pixels[:, 0] if pixels.shape[1] == 1 else np.moveaxis(pixels, 1, -1)
    low, high = (ends[: images.channels, None, None] for ends in limits)
    width = np.where(high > low, high - low, 1.0)
    shown = np.clip((pixels[:, : images.channels] - low) / width, 0, 1)
    size = (images.channels, 1) if upright else (1, images.channels)
    return np.stack([mosaic(channels, *size) for channels in shown])


def channel_limits(images: Images) -> tuple[Floats, Floats]:
    """Return the least and the greatest value of each channel, (c,) each."""
    return images.pixels.min(axis=(0, 2, 3)), images.pixels.max(axis=(0, 2, 3))


def mosaic(images: Floats, num_rows: int, num_columns: int, gap: int = 1) -> Floats:
    """Return images (n, h, w[, 3]) row by row in one array, NaN in gaps and empty places.

    Args:
        images: the n images.
        num_rows, num_columns: the numbers of places.
        gap: the number of pixels between images.
    """
    height, width = images.shape[1:3]
    down, across = height + gap, width + gap
    whole = np.full((num_rows * down - gap, num_columns * across - gap, *images.shape[3:]), np.nan)
    for i, image in enumerate(images[: num_rows * num_columns]):
        top, left = (i // num_columns) * down, (i % num_columns) * across
        whole[top : top + height, left : left + width] = image
    return whole


def show_images(
    axes: Axes, whole: Floats, low: float, high: float, with_gaps: bool = False
) -> None:
    """Draw a mosaic, black at `low` and white at `high`, without axes.

    Pixels larger than a dot have sharp edges; smaller ones are averaged over a dot.

    Args:
        axes: the axes to draw on.
        whole: the mosaic, (h, w) or (h, w, 3).
        low, high: the values of black and white.
        with_gaps: whether the gaps are pale blue and not white.
    """
    high = high if high > low else low + 1.0
    ratio = whole.shape[0] / whole.shape[1]
    gap = to_rgb(_GAP if with_gaps else "white")
    if whole.ndim == 3:
        # Matplotlib ignores limits for colours, and would draw NaN in black.
        whole = np.clip((whole - low) / (high - low), 0, 1)
        whole = np.where(np.isnan(whole), gap, whole)
    is_long = not 1 / _MAX_RATIO <= ratio <= _MAX_RATIO
    axes.imshow(
        whole, cmap=colormaps["gray"].with_extremes(bad=gap), vmin=low, vmax=high,
        interpolation="nearest" if max(whole.shape[:2]) <= _PANEL_DOTS else "antialiased",
        aspect="auto" if is_long else "equal",
    )  # fmt: skip
    axes.set_axis_off()
