"""The loss against steps: which value is where, what leaves the axis, and what is said."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_figures_look import saved_text

from fokker.figures import training_curve


def rows(count: int, start: float = 0.9, **changes: Any) -> list[dict[str, Any]]:
    """Rows as a training writes them, validated every tenth time and at the end."""
    table = []
    for i in range(1, count + 1):
        loss = 0.2 + (start - 0.2) * math.exp(-5 * i / count)
        row = {"step": 50 * i, "images": 9 * i, "loss": loss, "floor": 0.13, "lr": 1e-3 / i}
        if i % 10 == 0 or i == count:
            row |= {"held_out_loss": 1.1 * loss, "denoising_error": 0.1 * loss}
        table.append({**row, **changes})
    return table


def test_values_stand_at_their_steps() -> None:
    table = rows(35)
    figure = training_curve(table)
    own, error, rate = figure.axes
    for line, name in [
        (own.lines[0], "loss"), (own.lines[1], "held_out_loss"), (own.lines[2], "floor"),
        (error.lines[0], "denoising_error"), (rate.lines[0], "lr"),
    ]:  # fmt: skip
        expected = [(row["step"], row[name]) for row in table if name in row]
        np.testing.assert_array_equal(line.get_xydata(), expected)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["training", "held-out data", "floor"]
    # The errors differ by less than a factor of three; a rate that ends near 0 is no power of it.
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear", "linear"]
    assert own.get_ylim()[0] < 0.13
    assert "standardised units²" in error.get_ylabel()
    assert own.get_xlim()[1] >= 35 * 50


def test_what_is_not_known_has_no_panel_and_no_name() -> None:
    figure = training_curve([{"step": 3, "loss": 0.4}, {"step": 6, "loss": 0.3}])
    (axes,) = figure.axes
    assert axes.get_yscale() == "linear"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training"]
    assert axes.get_xlabel() == "optimizer step"


def test_first_losses_that_are_far_above_leave_the_axis() -> None:
    table = rows(100)
    table[0]["loss"] = 1e7
    low, high = training_curve(table).axes[0].get_ylim()
    assert high < 2
    assert low < 0.13


@pytest.mark.parametrize("floor", [0.0, 1e-30])
def test_a_floor_far_below_is_said_and_flattens_nothing(floor: float) -> None:
    figure = training_curve(rows(40, floor=floor))
    low = figure.axes[0].get_ylim()[0]
    assert 0.1 < low < 0.21
    assert figure.axes[0].get_yscale() == "log"
    assert figure.legends[0].get_texts()[-1].get_text() == "floor, below this axis"


def test_losses_that_are_not_finite_are_gaps_and_counted() -> None:
    table = rows(12)
    table[4]["loss"], table[5]["loss"] = math.nan, math.inf
    axes = training_curve(table).axes[0]
    drawn = np.asarray(axes.lines[0].get_ydata(), dtype=float)
    assert np.flatnonzero(np.isnan(drawn)).tolist() == [4, 5]
    assert axes.get_title(loc="left") == "not shown: training is NaN or infinite in 2 of 12 rows"


@pytest.mark.parametrize("table", [[], [{"step": 1, "lr": 0.1}], [{"step": 1, "loss": math.nan}]])
def test_nothing_to_draw_is_refused(table: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match=f"a finite loss, got none in {len(table)} rows"):
        training_curve(table)


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "table",
    [
        rows(30),
        rows(1),
        rows(400, start=1e6),
        rows(30, lr=0.0, floor=math.nan),
        [{"step": 10**6 * i, "loss": 1e-7 * (i % 2), "lr": 3e-6} for i in range(1, 9)],
        [{"step": i, "loss": 0.0} for i in range(1, 4)],
        [{"step": i, "loss": 1 / i - 7e5} for i in range(1, 40)],
    ],
)
def test_text_is_whole_and_apart(
    table: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, texts = saved_text(training_curve(table), tmp_path, monkeypatch)
    for i, (text, size, box) in enumerate(texts):
        assert size >= 8, text
        inside = [box.x0 - page.x0, page.x1 - box.x1, box.y0 - page.y0, page.y1 - box.y1]
        assert min(inside) >= -1, f"{text!r} is cut off"
        for other, _, place in texts[:i]:
            width = min(box.x1, place.x1) - max(box.x0, place.x0)
            height = min(box.y1, place.y1) - max(box.y0, place.y0)
            assert width <= 1 or height <= 1, f"{text!r} covers {other!r}"
