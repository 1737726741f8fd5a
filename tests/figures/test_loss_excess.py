"""The excess over the floor, below the denoising error."""

import math

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes

from fokker.diffusion.analysis.validation import AXIS
from fokker.figures import loss_per_level

SIGMAS = np.geomspace(0.002, 80, 25)
FLOOR = 4 * SIGMAS**2 / (4 + SIGMAS**2)
EXCESS = {"edm": 1e-4 * SIGMAS / (1 + SIGMAS**2), "ddpm": 3e-4 * SIGMAS / (1 + SIGMAS)}
CURVES = {name: FLOOR + excess for name, excess in EXCESS.items()}


def text_in(axes: Axes) -> str:
    return " ".join(t.get_text() for t in axes.texts).replace("\n", " ")


def test_a_smaller_panel_below_on_the_same_sigmas_in_the_same_lines() -> None:
    figure = loss_per_level(AXIS, CURVES, SIGMAS, FLOOR, EXCESS)
    upper, lower = figure.axes
    figure.draw_without_rendering()
    assert lower.get_position().height < 0.7 * upper.get_position().height
    assert lower.get_position().y1 < upper.get_position().y0
    assert lower.get_xscale() == lower.get_yscale() == "log"
    assert lower.get_xlim() == upper.get_xlim()
    assert upper.get_xlabel() == ""
    assert "sigma" in lower.get_xlabel()
    assert "excess" in lower.get_ylabel()
    assert "standardised units²" in lower.get_ylabel()
    assert len(lower.lines) == 2
    for above, below, excess in zip(upper.lines, lower.lines, EXCESS.values()):
        np.testing.assert_array_equal(below.get_xydata(), np.stack([SIGMAS, excess], axis=1))
        assert above.get_color() == below.get_color()
        assert above.get_marker() == below.get_marker()
        assert above.get_linestyle() == below.get_linestyle()
    low, high = lower.get_ylim()
    assert low < min(e.min() for e in EXCESS.values())
    assert high > max(e.max() for e in EXCESS.values())
    assert lower.get_title(loc="left") == ""
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["edm", "ddpm", "floor (exact)"]


@pytest.mark.parametrize("excess", [None, {}])
def test_without_it_the_figure_is_what_it_was(excess: dict[str, object] | None) -> None:
    one = loss_per_level(AXIS, CURVES, SIGMAS, FLOOR)
    two = loss_per_level(AXIS, CURVES, SIGMAS, FLOOR, excess)
    for figure in (one, two):
        assert tuple(figure.get_size_inches()) == (6.5, 3.9)
        assert len(figure.axes) == 1
        assert "sigma" in figure.axes[0].get_xlabel()


def test_the_upper_panel_is_the_same_with_and_without() -> None:
    one = loss_per_level(AXIS, CURVES, SIGMAS, FLOOR).axes[0]
    two = loss_per_level(AXIS, CURVES, SIGMAS, FLOOR, EXCESS).axes[0]
    assert one.get_ylim() == two.get_ylim()
    for a, b in zip(one.lines, two.lines):
        np.testing.assert_array_equal(a.get_xydata(), b.get_xydata())


def test_of_some_curves_in_another_order() -> None:
    curves = {"a": FLOOR, "b": 2 * FLOOR, "c": 3 * FLOOR}
    upper, lower = loss_per_level(AXIS, curves, SIGMAS, None, {"c": 2 * FLOOR, "b": FLOOR}).axes
    assert [line.get_color() for line in lower.lines] == [
        upper.lines[2].get_color(),
        upper.lines[1].get_color(),
    ]


def test_order_of_sigmas_does_not_matter() -> None:
    back = {name: excess[::-1] for name, excess in EXCESS.items()}
    curves = {name: curve[::-1] for name, curve in CURVES.items()}
    one = loss_per_level(AXIS, CURVES, SIGMAS, FLOOR, EXCESS).axes[1].lines
    two = loss_per_level(AXIS, curves, SIGMAS[::-1], FLOOR[::-1], back).axes[1].lines
    for a, b in zip(one, two):
        np.testing.assert_array_equal(a.get_xydata(), b.get_xydata())


def test_an_exact_denoiser_alone_is_said_in_the_panel() -> None:
    lower = loss_per_level(AXIS, {"exact": FLOOR}, SIGMAS, FLOOR, {"exact": 0 * FLOOR}).axes[1]
    assert "exact is exactly 0 at all 25 levels" in text_in(lower)
    assert "logarithmic" in text_in(lower)
    # Numbers at an axis of nothing would mislead.
    assert not len(lower.get_yticks())
    assert not len(lower.get_yticks(minor=True))


def test_an_exact_denoiser_beside_others_is_said_above_the_panel() -> None:
    excess = {**EXCESS, "exact": 0 * FLOOR}
    lower = loss_per_level(AXIS, {**CURVES, "exact": FLOOR}, SIGMAS, FLOOR, excess).axes[1]
    assert lower.get_title(loc="left") == "not shown: exact is exactly 0 at all 25 levels"
    assert text_in(lower) == ""
    alone = loss_per_level(AXIS, CURVES, SIGMAS, FLOOR, EXCESS).axes[1]
    assert lower.get_ylim() == alone.get_ylim()


def test_what_is_below_zero_leaves_gaps_that_are_counted() -> None:
    edm = EXCESS["edm"].copy()
    edm[[2, 4, 20]] *= -1
    edm[7] = math.nan
    excess = {**EXCESS, "edm": edm}
    lower = loss_per_level(AXIS, CURVES, SIGMAS, FLOOR, excess).axes[1]
    gaps = np.isnan(np.asarray(lower.lines[0].get_ydata()))
    assert gaps.nonzero()[0].tolist() == [2, 4, 7, 20]
    # What was not measured was not below 0.
    assert lower.get_title(loc="left") == "not shown: edm is below 0 at 3 of 25 levels"
    # The point between two gaps would be invisible without a marker.
    assert 3 in list(lower.lines[0].get_markevery())


def test_rounding_does_not_flatten_the_others() -> None:
    rounding = 1e-18 * np.where(np.arange(25) % 2, 1.0, -1.0)
    excess = {**EXCESS, "exact": rounding}
    lower = loss_per_level(AXIS, {**CURVES, "exact": FLOOR}, SIGMAS, FLOOR, excess).axes[1]
    assert lower.get_title(loc="left") == (
        "not shown: exact is below this axis at all 25 levels"
    )
    low, _ = lower.get_ylim()
    assert 1e-8 < low < EXCESS["edm"].min()


def test_all_below_zero_and_not_measured() -> None:
    excess = {"edm": -FLOOR, "ddpm": FLOOR * math.nan}
    lower = loss_per_level(AXIS, CURVES, SIGMAS, FLOOR, excess).axes[1]
    assert "edm is below 0 at all 25 levels; ddpm has no finite value" in text_in(lower)


@pytest.mark.parametrize(
    ("least", "greatest", "numbers"),
    [
        (2e-6, 2.5e-5, ["2e-6", "5e-6", "2e-5"]),
        (4e-6, 5e-6, ["3e-6", "5e-6", "7e-6"]),
        (2e-6, 2e-4, []),
    ],
)
def test_numbers_between_the_powers_where_these_are_few(
    least: float, greatest: float, numbers: list[str]
) -> None:
    excess = np.geomspace(least, greatest, 25)
    figure = loss_per_level(AXIS, {"a": FLOOR}, SIGMAS, FLOOR, {"a": excess})
    figure.draw_without_rendering()
    axis = figure.axes[1].yaxis
    low, high = figure.axes[1].get_ylim()
    shown = [
        tick.label1.get_text().strip("$").replace(r"\times10^{", "e").rstrip("}")
        for tick in axis.get_minor_ticks()
        if low <= tick.get_loc() <= high and tick.label1.get_text()  # type: ignore[attr-defined]
    ]
    assert shown == numbers


def test_one_level_and_tensors() -> None:
    excess = torch.tensor([0.5], requires_grad=True)
    lower = loss_per_level(AXIS, {"a": [2.0]}, [3.0], [1.5], {"a": excess}).axes[1]
    np.testing.assert_array_equal(lower.lines[0].get_xydata(), [[3.0, 0.5]])
    assert lower.lines[0].get_markevery() == [0]
    assert lower.get_ylim()[0] < 0.5 < lower.get_ylim()[1]


@pytest.mark.parametrize(
    ("excess", "message"),
    [
        ({"edm": FLOOR[:-1]}, r"excess\['edm'\] must have the shape of level \(25,\)"),
        ({"smld": FLOOR}, r"excess must name curves of \['edm', 'ddpm'\], got 'smld'"),
    ],
)
def test_refusals(excess: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loss_per_level(AXIS, CURVES, SIGMAS, FLOOR, excess)
