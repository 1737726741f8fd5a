"""The denoising error against sigma."""

import itertools
import math

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from fokker.diffusion.analysis.validation import AXIS
from fokker.figures import loss_per_level

SIGMAS = np.geomspace(0.002, 80, 25)
ERROR = 4 * SIGMAS**2 / (4 + SIGMAS**2)


def test_lines_axes_and_floor() -> None:
    curves = {"edm": 1.5 * ERROR, "$ddpm_a": 2 * ERROR, "_x": ERROR}
    figure = loss_per_level(AXIS, curves, SIGMAS, ERROR)
    (axes,) = figure.axes
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert "sigma" in axes.get_xlabel()
    assert "standardised units" in axes.get_xlabel()
    assert "E" in axes.get_ylabel()
    assert "standardised units²" in axes.get_ylabel()
    (legend,) = figure.legends
    # A name is shown as it is, with its dollar and its underscore.
    assert [t.get_text() for t in legend.get_texts()] == [
        "edm",
        r"\$ddpm_a",
        " _x",
        "floor (exact)",
    ]
    np.testing.assert_allclose(axes.lines[0].get_xydata(), np.stack([SIGMAS, 1.5 * ERROR], axis=1))
    floor = axes.lines[3]
    assert floor.get_linestyle() == "--"
    assert to_hex(floor.get_color()) == "#000000"
    assert all(line.get_linestyle() != "--" or line is floor for line in axes.lines)
    low, high = axes.get_ylim()
    assert low < ERROR.min()
    assert high > 2 * ERROR.max()


def test_no_floor_no_legend_entry() -> None:
    figure = loss_per_level(AXIS, {"edm": ERROR}, SIGMAS)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["edm"]
    assert len(figure.axes[0].lines) == 1


def test_order_of_sigmas_does_not_matter() -> None:
    forward = loss_per_level(AXIS, {"a": ERROR}, SIGMAS, ERROR / 2).axes[0].lines
    backward = loss_per_level(AXIS, {"a": ERROR[::-1]}, SIGMAS[::-1], ERROR[::-1] / 2).axes[0].lines
    for one, two in zip(forward, backward):
        np.testing.assert_array_equal(one.get_xydata(), two.get_xydata())


def test_many_curves_differ_without_colour() -> None:
    lines = loss_per_level(AXIS, {str(i): (1 + i) * ERROR for i in range(20)}, SIGMAS).axes[0].lines
    # matplotlib's public getter says "--" for any dashes of one's own.
    in_grey = {(line.get_marker(), str(line._dash_pattern)) for line in lines}  # type: ignore[attr-defined]
    assert len(in_grey) == 20
    colours = [to_hex(line.get_color()) for line in lines]
    assert all(a != b for a, b in itertools.pairwise(colours))
    assert {"#f0e442", "#ffff00"}.isdisjoint(colours)


def test_gaps_and_a_vanishing_floor_leave_the_curves_readable() -> None:
    error, floor = ERROR.copy(), ERROR.copy()
    error[3], error[4], error[5] = math.nan, math.inf, 0
    floor[:6] = [0, 1e-300, 1e-200, 1e-100, 1e-50, 1e-20]
    axes = loss_per_level(AXIS, {"a": error}, SIGMAS, floor).axes[0]
    assert np.isnan(axes.lines[0].get_ydata()).tolist() == [i in (3, 4, 5) for i in range(25)]
    low, high = axes.get_ylim()
    assert ERROR.min() / 200 < low < ERROR.min()
    assert ERROR.max() < high < 2 * ERROR.max()


def test_tensors_with_gradients_and_of_bfloat16() -> None:
    error = torch.from_numpy(ERROR).requires_grad_()
    figure = loss_per_level(AXIS,
        {"a": error, "b": error.to(torch.bfloat16)}, torch.from_numpy(SIGMAS), error
    )
    assert len(figure.axes[0].lines) == 3


@pytest.mark.parametrize(
    ("curves", "sigmas", "floor", "message"),
    [
        ({}, SIGMAS, None, "curves must hold at least one curve"),
        ({"a": ERROR[:-1]}, SIGMAS, None, r"curves\['a'\] must have the shape of level \(25,\)"),
        ({"a": ERROR}, SIGMAS, ERROR[:-1], "floor must have the shape of level"),
        ({"a": ERROR}, -SIGMAS, None, "level must be positive"),
        ({"a": ERROR}, SIGMAS * math.nan, None, "level must be positive"),
        ({"a": [[1.0]]}, [[1.0]], None, r"of shape \(b,\)"),
        ({"a": []}, [], None, r"of shape \(b,\)"),
        ({"a": ERROR * math.nan}, SIGMAS, None, "must have a positive value"),
    ],
)
def test_refusals(curves: dict[str, object], sigmas: object, floor: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loss_per_level(AXIS, curves, sigmas, floor)
