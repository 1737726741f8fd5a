"""Errors, floors and widths of exactly 0: figures say so, without a warning."""

import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fokker.diffusion.analysis.validation import AXIS
from fokker.figures import chain_histograms, chain_points, loss_per_level, marginal_maps, steps_maps

SIGMAS = np.geomspace(0.002, 80, 16)
ERROR = SIGMAS**2 / (0.25 + SIGMAS**2)


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_a_floor_of_0_leaves_the_axis_and_one_that_is_0_everywhere_is_said() -> None:
    floor = np.where(SIGMAS < 0.1, 0, ERROR / 2)
    figure = loss_per_level(AXIS, {"edm": ERROR}, SIGMAS, floor)
    (axes,) = figure.axes
    drawn, low = axes.lines[1].get_ydata(), axes.get_ylim()[0]
    np.testing.assert_array_equal(np.asarray(drawn)[floor > 0], floor[floor > 0])
    assert (0 < np.asarray(drawn)[floor == 0]).all()
    assert (np.asarray(drawn)[floor == 0] < low / 100).all()
    assert figure.legends[0].get_texts()[1].get_text() == "floor (exact)"
    figure = loss_per_level(AXIS, {"edm": ERROR}, SIGMAS, 0 * ERROR, {"edm": 0 * ERROR})
    assert figure.legends[0].get_texts()[1].get_text() == "floor (exact), 0 at every level"
    figure.draw_without_rendering()


def test_errors_that_are_0_and_curves_without_any_are_said() -> None:
    some = np.where(SIGMAS < 0.1, 0, ERROR)
    curves = {"edm": some, "exact": 0 * ERROR, "lost": math.nan * ERROR}
    figure = loss_per_level(AXIS, curves, SIGMAS)
    assert figure.axes[0].get_title(loc="left").replace("\n", " ") == (
        f"not shown: edm is exactly 0 at {(SIGMAS < 0.1).sum()} of 16 levels; exact is "
        "exactly 0 at all 16 levels; lost has no finite value"
    )
    # Nothing is said of levels where a model was not trained.
    gaps = loss_per_level(AXIS, {"edm": np.where(SIGMAS < 0.1, math.nan, ERROR)}, SIGMAS)
    assert not gaps.axes[0].get_title(loc="left")


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("value", [7.0, -4e9])
def test_chains_of_one_point_and_of_columns_of_different_size(d: int, value: float) -> None:
    same = np.full((3, 9, d), value)
    chain_points(same, same, range(3), [2, 1, 0]).draw_without_rendering()
    x = np.random.default_rng(0).normal(size=(3, 200, d)) * [0.1, 5e4, 1][:d] + value
    figure = chain_points(x, x, range(3), [2, 1, 0])
    axes = figure.axes[0]
    for j, name in enumerate("xyz"[:d]):
        assert np.ptp(getattr(axes, f"get_{name}lim")()) < 1.3 * np.ptp(x[0, :, j])
    texts = " ".join(text.get_text() for text in figure.texts)
    assert "in a box with sides 1, 2 ... as given" in texts
    if d == 2:
        assert f"2: {np.ptp(axes.get_ylim()) / 1e5:.3g}e5" in texts
    # The colour of a point is of the numbers at the bar.
    away = min(value, 0.0)
    colours = np.asarray(axes.collections[-1].get_array())
    assert set(np.round(colours, 6)) <= set(np.round(x[-1, :, -1] - away, 6))


def test_histograms_of_one_value_and_far_from_0() -> None:
    nothing = np.zeros((2, 5))
    flat = chain_histograms(np.full((2, 6), 3.0), nothing, nothing, [0, 1], [1, 0])
    assert flat.axes[0].get_xlim() == (2.5, 3.5)
    edges = 1e9 + np.stack([np.linspace(-s, s, 6) for s in (50, 2)])
    far = chain_histograms(edges, np.ones((2, 5)), np.ones((2, 5)), [0, 1], [1, 0])
    assert far.axes[1].get_xlim() == (-2, 2)
    assert far.get_supxlabel() == "$x_t$ \u2212 1,000,000,000 (data units)"


def steps(**changes: Any) -> dict[str, Any]:
    run = {"num_steps": [3, 10], "w1": [0.3, 0.1], "edges": np.linspace(0, 1, 6)}
    return {**run, "sampled": np.ones((2, 5)), "data": np.ones(5), **changes}


@pytest.mark.parametrize("w1", [0.0, math.nan])
def test_steps_without_any_distance_say_so(w1: float) -> None:
    run = steps(w1=[w1, w1], sampled=np.zeros((2, 5)), data=np.zeros(5))
    figure = steps_maps({"": run})
    figure.draw_without_rendering()
    assert any("$W_1$ is 0" in text.get_text() for text in figure.axes[1].texts)


def test_steps_of_one_value_and_far_from_0() -> None:
    flat = steps_maps({"": steps(edges=np.full(6, 2.0), data=np.full(5, math.nan))})
    flat.draw_without_rendering()
    assert flat.axes[0].get_ylim() == (1.5, 2.5)
    far = steps_maps({"": steps(edges=np.linspace(0, 1, 6) - 5e7)})
    assert far.axes[0].get_ylim() == pytest.approx((0, 1))
    assert far.axes[0].get_ylabel() == "sample + 50,000,000\n(data units)"


def test_a_map_without_any_density_is_drawn() -> None:
    sigma, edges = np.geomspace(9, 0.1, 4), np.tile(np.linspace(-1, 1, 6), (4, 1))
    empty = {"exact": np.zeros((4, 5)), "sampled": np.zeros((4, 5))}
    figure = marginal_maps({"": {"t": sigma, "sigma": sigma, "edges": edges, **empty}})
    figure.draw_without_rendering()
