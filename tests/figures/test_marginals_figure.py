"""Distances of simulated marginals, and the Fokker-Planck residual, over sigma."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from fokker.figures import marginals

SIGMAS = np.geomspace(0.002, 80, 12)
FORWARD = 0.004 + 0.001 * np.sin(np.arange(12))
BACKWARD = 0.005 + 0.03 / (1 + SIGMAS**2)
BELOW = np.geomspace(0.01, 300, 40)
RESIDUAL = 0.3 * BELOW**-1.5


def draw(**changes: Any) -> Any:
    values: dict[str, Any] = {
        "sigmas": SIGMAS,
        "forward": FORWARD,
        "backward": BACKWARD,
        "residual_sigmas": BELOW,
        "residual": RESIDUAL,
    }
    return marginals(**{**values, **changes})


def test_two_lines_above_and_the_residual_below() -> None:
    figure = draw(residual_label="residual (1 / s)")
    upper, lower = figure.axes
    figure.draw_without_rendering()
    assert lower.get_position().y1 < upper.get_position().y0
    for axes in (upper, lower):
        assert axes.get_xscale() == axes.get_yscale() == "log"
    assert upper.get_xlim() == lower.get_xlim()
    low, high = upper.get_xlim()
    assert low < 0.002
    assert high > 300
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert [label.split(",")[0] for label in labels] == ["forward", "backward"]
    forward, backward = upper.lines
    np.testing.assert_array_equal(forward.get_xydata(), np.stack([SIGMAS, FORWARD], axis=1))
    np.testing.assert_array_equal(backward.get_xydata(), np.stack([SIGMAS, BACKWARD], axis=1))
    (residual,) = lower.lines
    np.testing.assert_array_equal(residual.get_xydata(), np.stack([BELOW, RESIDUAL], axis=1))
    assert len({line.get_color() for line in (forward, backward, residual)}) == 3
    assert forward.get_linestyle() != backward.get_linestyle()
    assert "std" in upper.get_ylabel()
    assert lower.get_ylabel() == "residual (1 / s)"
    assert "sigma" in lower.get_xlabel()
    for axes, values in ((upper, [FORWARD, BACKWARD]), (lower, [RESIDUAL])):
        low, high = axes.get_ylim()
        assert low < np.min(values)
        assert high > np.max(values)


@pytest.mark.parametrize(
    "noise", [0.0045, np.full(12, 0.0045), torch.tensor(0.0045, dtype=torch.float64)]
)
def test_chance_is_a_black_dashed_line(noise: Any) -> None:
    figure = draw(noise=noise)
    line = figure.axes[0].lines[2]
    np.testing.assert_array_equal(line.get_ydata(), np.full(12, 0.0045))
    assert line.get_color() == "#000000"
    assert line.get_linestyle() == "--"
    assert len(figure.legends[0].get_texts()) == 3


def test_order_of_sigmas_does_not_matter() -> None:
    one, two = draw(), draw(sigmas=SIGMAS[::-1], forward=FORWARD[::-1], backward=BACKWARD[::-1])
    three = draw(residual_sigmas=BELOW[::-1], residual=RESIDUAL[::-1])
    for other in (two, three):
        for a, b in zip(one.axes, other.axes):
            for line, same in zip(a.lines, b.lines):
                np.testing.assert_array_equal(line.get_xydata(), same.get_xydata())


def test_gaps_and_zeros() -> None:
    forward = FORWARD.copy()
    forward[0], forward[5], forward[7] = math.nan, 0, math.inf
    upper, lower = draw(forward=forward, residual=0 * RESIDUAL).axes
    gaps = np.isnan(upper.lines[0].get_ydata()).nonzero()[0].tolist()
    assert gaps == [0, 5, 7]
    assert upper.get_title(loc="left") == (
        "not shown: forward is exactly 0 at 1 of 12 levels"
    )
    assert "the residual is exactly 0 at all 40 levels" in lower.texts[0].get_text()
    assert not len(lower.get_yticks())


def test_one_level_each() -> None:
    upper, lower = marginals([0.5], [0.1], [0.2], [0.3], [0.02]).axes
    np.testing.assert_array_equal(lower.lines[0].get_xydata(), [[0.3, 0.02]])
    for line in (*upper.lines, *lower.lines):
        assert line.get_markevery() == [0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigmas": SIGMAS - 0.002}, "sigmas must be positive"),
        ({"residual_sigmas": BELOW * math.nan}, "residual_sigmas must be positive"),
        ({"residual_sigmas": [], "residual": []}, "residual_sigmas must be positive"),
        ({"forward": FORWARD[1:]}, r"forward must have the shape of sigmas \(12,\)"),
        ({"backward": 0.5}, "backward must have the shape of sigmas"),
        ({"residual": FORWARD}, r"residual must have the shape of residual_sigmas \(40,\)"),
        ({"noise": FORWARD[1:]}, "noise must have the shape of sigmas"),
    ],
)
def test_refusals(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(**changes)
