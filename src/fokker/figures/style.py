"""The style of figures, and their output to files."""

import os
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from fokker.machine.files import write_atomically
from fokker.machine.folders import make_folder

WIDTH_INCHES = 6.5
"""The text width of a page, so that figures are printed unscaled and 8 pt stays 8 pt."""

_STRIP_INCHES, _DPI = 0.22, 200

# The type is Any, since keys are plain strings in some versions of matplotlib, literals in others.
STYLE: Any = {
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.0,
    "grid.color": "0.88",
    "grid.linewidth": 0.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # Type 42 keeps text selectable and is what journals accept.
    "pdf.fonttype": 42,
}
"""For `matplotlib.rc_context`: nothing is set globally."""

# Okabe & Ito 2008, without the yellow, which is too pale on white.
BLUE = "#0072B2"
VERMILION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
ORANGE = "#E69F00"
SKY = "#56B4E9"
BLACK = "#000000"


def plain(text: str) -> str:
    """Return a name as literal text: without mathematics, and not hidden from legends by a `_`."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def save(figure: Figure, path_without_suffix: str | os.PathLike[str], heading: str = "") -> Path:
    """Write a figure as PNG (200 dpi) and as PDF next to it, each whole or not at all.

    Args:
        figure: the figure.
        path_without_suffix: the path, to which `.png` and `.pdf` are appended; missing folders are
            made.
        heading: a text for a strip above all content of the figure.

    Returns:
        The path of the PNG.
    """
    base = Path(path_without_suffix)
    make_folder(base.parent)
    # with_suffix would cut "sigma_0.5" at its dot.
    targets = [base.parent / f"{base.name}.{kind}" for kind in ("png", "pdf")]
    # Without a date, the same figure gives the same file.
    metadata: list[dict[str, Any]] = [{}, {"CreationDate": None}]
    with matplotlib.rc_context(STYLE):
        # savefig does the layout only once, but panels of a fixed aspect need a second pass:
        # otherwise texts were cut off by up to 0.05 inch.
        figure.draw_without_rendering()
        # Draw into memory, because matplotlib hides errors of the disk behind its own.
        width, height = figure.get_size_inches()
        if heading:
            _write_above(figure, plain(heading))
            height += _STRIP_INCHES
        box = Bbox.from_extents(0, 0, width, height)
        drawn = [BytesIO() for _ in targets]
        for target, content, entries in zip(targets, drawn, metadata):
            kind = target.suffix[1:]
            figure.savefig(content, format=kind, dpi=_DPI, metadata=entries, bbox_inches=box)
    for target, content in zip(targets, drawn):
        write_atomically(target, partial(_copy, content))
    return targets[0]


def _write_above(figure: Figure, heading: str) -> None:
    """Write above the upper edge of a figure whose layout is done, and keep that layout."""
    figure.set_dpi(_DPI)  # The widths of texts depend slightly on it.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for legend in figure.legends:  # A legend outside the panels would move up to the new edge.
        place = legend.get_window_extent().transformed(figure.transFigure.inverted())
        legend.set_bbox_to_anchor(place, figure.transFigure)
        legend.set_loc("center")
    above = 1 + _STRIP_INCHES / 4 / figure.get_figheight()
    figure.text(0.5, above, heading, ha="center", fontsize=9)


def _copy(content: BytesIO, path: Path) -> None:
    path.write_bytes(content.getbuffer())
