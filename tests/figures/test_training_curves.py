"""Training curves of several models: every curve is there, and how many panels they get."""

import math
from typing import Any

import numpy as np
import pytest

from fokker.figures import training_curves


def rows(*losses: float, errors: tuple[float, ...] = ()) -> list[dict[str, Any]]:
    """A row every hundred steps."""
    found: list[dict[str, Any]] = [
        {"step": 100 * (i + 1), "loss": loss} for i, loss in enumerate(losses)
    ]
    for row, error in zip(found, errors):
        row["denoising_error"] = error
    return found


def test_a_few_share_a_panel_of_the_loss_and_one_of_the_denoising_error() -> None:
    own = {
        "a": [rows(3.0, 2.0, 1.0, errors=(0.3, 0.2)), rows(3.1, 2.1, 1.1)],
        "b": [rows(5.0, math.nan, 4.0)],
    }
    figure = training_curves(own)
    above, below = figure.axes
    drawn = [np.asarray(line.get_ydata()).tolist() for line in above.lines]
    assert drawn[:2] == [[3.0, 2.0, 1.0], [3.1, 2.1, 1.1]]
    np.testing.assert_array_equal(drawn[2], [5.0, math.nan, 4.0])
    assert above.lines[0].get_color() == above.lines[1].get_color() != above.lines[2].get_color()
    assert np.asarray(below.lines[0].get_xydata()).tolist() == [[100, 0.3], [200, 0.2]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    assert "own" in above.get_ylabel()
    assert below.get_xlabel() == "optimizer step"
    # Measured once, it is no curve.
    assert len(training_curves({"a": [rows(3.0, 2.0, errors=(0.3,))]}).axes) == 1


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_many_get_a_panel_each_before_the_others(scale: float) -> None:
    own = {f"model {i}": [rows(2.0 + i, 1.0 + i)] for i in range(19)}
    own["far"] = [rows(2 * scale, scale)]
    figure = training_curves(own)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == list(own)
    # The others are behind it where one axis does for all.
    counts = {len(axes.lines) for axes in panels}
    assert counts == ({20} if scale == 1 else {1})
    assert np.asarray(panels[4].lines[-1].get_ydata()).tolist() == [6.0, 5.0]
    assert (panels[0].get_ylim() == panels[-1].get_ylim()) == (scale == 1)
    low, high = panels[-1].get_ylim()
    assert low < scale < 2 * scale < high


def test_a_training_without_a_finite_loss_has_an_empty_panel_that_says_so() -> None:
    own = {f"model {i}": [rows(2.0 + i, 1.0 + i)] for i in range(9)}
    own["lost"] = [rows(math.nan, math.nan)]
    panel = training_curves(own).axes[9]
    assert [text.get_text() for text in panel.texts] == ["no finite loss"]


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({}, "no training has logged its loss at two steps or more"),
        ({"a": [rows(1.0)], "b": [[]]}, "no training has logged its loss at two steps or more"),
        ({str(i): [rows(2.0, 1.0)] for i in range(41)}, "41 models are too many .* at most 40"),
    ],
)
def test_what_cannot_be_drawn_is_said(own: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        training_curves(own)
