"""Errors of samplers against N: nothing hidden, nothing in the way, the same axes everywhere."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from test_figures_look import saved_text

from fokker.figures import gaussian_errors

STEPS = [5, 10, 20, 40, 70, 100]
KINDS = ["total", "discretisation", "initialisation", "truncation"]


def entry(order: int = 1, initialisation: float = 2e-4, scale: float = 3.0) -> dict[str, Any]:
    grid = scale * np.array(STEPS, dtype=float) ** -order
    floor, start = np.full(6, 1e-3), np.full(6, initialisation)
    total = np.sqrt(grid**2 + floor**2)
    return {
        "truncation": floor, "initialisation": start, "discretisation": grid, "total": total,
    }  # fmt: skip


def several(count: int, name: str = "sampler") -> dict[str, dict[str, Any]]:
    return {f"{name}_{i}": entry(1 + i % 3, 2e-4 if i % 2 else 1e-12) for i in range(count)}


def drawn(axes: Axes) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.asarray(line.get_xydata()) for line in axes.lines}


def notes(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_text()]


def test_a_panel_a_sampler_and_a_line_an_error() -> None:
    errors = {"heun": entry(2), "$euler": entry(1)}
    figure = gaussian_errors(errors, STEPS)
    assert [axes.get_title() for axes in figure.axes] == ["heun", r"\$euler"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == KINDS
    for axes, lines in zip(figure.axes, errors.values()):
        assert axes.get_xscale() == axes.get_yscale() == "log"
        found = drawn(axes)
        assert list(found) == KINDS
        for kind in KINDS:
            np.testing.assert_allclose(found[kind], np.stack([STEPS, lines[kind]], axis=1))
        assert axes.get_xlim() == figure.axes[0].get_xlim()
        assert axes.get_ylim() == figure.axes[0].get_ylim()
        low, high = axes.get_ylim()
        assert low < 2e-4
        assert high > 3.0 / 5
        assert notes(axes) == []
    labels = [figure.get_supxlabel(), figure.get_supylabel()]
    assert labels == ["number of steps $N$", "$W_2$ distance (standardised units)"]


def test_the_total_is_seen_where_another_line_runs_along_it() -> None:
    lines = {
        line.get_label(): line for line in gaussian_errors({"a": entry()}, STEPS).axes[0].lines
    }
    total = lines.pop("total")
    for line in lines.values():
        assert total.get_linewidth() > 2 * line.get_linewidth()
        assert total.get_markersize() > 1.5 * line.get_markersize()
        assert total.get_zorder() < line.get_zorder()
    # And in grey: each marker once.
    assert len({line.get_marker() for line in [total, *lines.values()]}) == 4


def test_the_order_of_the_steps_does_not_matter() -> None:
    backward = {kind: values[::-1] for kind, values in entry(2).items()}
    one = drawn(gaussian_errors({"a": entry(2)}, STEPS).axes[0])
    other = drawn(gaussian_errors({"a": backward}, STEPS[::-1]).axes[0])
    for kind in KINDS:
        np.testing.assert_array_equal(one[kind], other[kind])


def test_what_a_logarithmic_axis_cannot_show_is_said() -> None:
    small = entry(1, 2.34e-9)
    small["truncation"] = np.zeros(6)
    figure = gaussian_errors({"small": small, "large": entry()}, STEPS)
    first, second = figure.axes
    assert notes(first) == [r"initialisation ≤ $3 \cdot 10^{-9}$" + "\ntruncation 0"]
    assert notes(second) == []
    assert list(drawn(first)) == KINDS[:2]
    # The axis does not go down to it, and leaves room for the note below what is drawn.
    low, high = first.get_ylim()
    assert 1e-8 < low
    share = math.log(2e-4 / low) / math.log(high / low)
    assert 0.2 < share < 0.5


def test_a_zero_goes_off_the_axis_and_a_gap_stays_a_gap() -> None:
    lines = entry(2)
    lines["initialisation"] = np.array([1e-2, 0, 0, 1e-3, math.nan, math.inf])
    axes = gaussian_errors({"a": lines}, STEPS).axes[0]
    values = drawn(axes)["initialisation"][:, 1]
    low = axes.get_ylim()[0]
    assert [value < low for value in values] == [False, True, True, False, False, False]
    assert np.isnan(values).tolist() == [False] * 4 + [True] * 2
    assert notes(axes) == []


def test_labels_of_steps_keep_apart() -> None:
    many = list(range(1, 101))
    lines = {kind: np.linspace(1, 2, 100) for kind in KINDS}
    for count in (1, 3, 6):
        axes = gaussian_errors(dict.fromkeys(map(str, range(count)), lines), many).axes[0]
        ticks = axes.get_xticks()
        assert ticks[0] == 1
        assert ticks[-1] == 100
        assert 4 <= len(ticks) <= 16
        assert all(b / a > 100 ** (0.06 * min(count, 3)) for a, b in itertools.pairwise(ticks))


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("count", "name"),
    [
        (1, "heun"),
        (2, "sampler=edm_stochastic,sampler.S_churn"),
        (3, "predictor_corrector"),
        (4, "sampler=edm_stochastic,sampler.S_churn"),
        (6, "predictor_corrector"),
        (7, "sampler=edm_stochastic,sampler.S_churn"),
    ],
)
def test_no_text_is_cut_off_or_covered(
    count: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, texts = saved_text(gaussian_errors(several(count, name), STEPS), tmp_path, monkeypatch)
    assert any("≤" in text for text, _, _ in texts)
    for text, size, box in texts:
        assert size >= 8, text
        assert page.x0 - 1 <= box.x0 < box.x1 <= page.x1 + 1, text
        assert page.y0 - 1 <= box.y0 < box.y1 <= page.y1 + 1, text
    for (a, _, one), (b, _, other) in itertools.combinations(texts, 2):
        width = min(one.x1, other.x1) - max(one.x0, other.x0)
        height = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert width <= 1 or height <= 1, f"{a!r} covers {b!r}"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_notes_are_below_what_is_drawn(count: int, tmp_path: Path) -> None:
    errors = several(count)
    errors["sampler_0"]["truncation"] = np.zeros(6)
    figure = gaussian_errors(errors, STEPS)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    (note,) = [text for text in axes.texts if text.get_text()]
    top = note.get_window_extent().y1
    least = min(float(values[:, 1].min()) for values in drawn(axes).values())
    assert top < axes.transData.transform((5.0, least))[1]
    assert top < axes.get_window_extent().y0 + 0.4 * axes.get_window_extent().height


def test_each_panel_can_be_read_off() -> None:
    """The lowest panel of each column has its steps, the first of each row its distances."""
    figure = gaussian_errors(several(7), STEPS)
    figure.draw_without_rendering()
    steps = [axes.xaxis.get_major_ticks()[0].label1.get_visible() for axes in figure.axes]
    left = [axes.yaxis.get_major_ticks()[0].label1.get_visible() for axes in figure.axes]
    assert steps == [False, False, False, False, True, True, True]
    assert left == [True, False, False, True, False, False, True]


def test_one_step_and_tensors() -> None:
    lines = {kind: torch.tensor([0.3], requires_grad=True) for kind in KINDS}
    axes = gaussian_errors({"a": lines}, torch.tensor([18])).axes[0]
    assert axes.get_xticks().tolist() == [18]
    low, high = axes.get_xlim()
    assert low < 18 < high
    bottom, top = axes.get_ylim()
    assert top / bottom >= 10


@pytest.mark.parametrize(
    ("errors", "steps", "message"),
    [
        ({}, STEPS, "at least one sampler"),
        ({"a": {"total": [1.0] * 6}}, STEPS, r"errors\['a'\] must have the entries"),
        ({"a": {**entry(), "learning": [1.0] * 6}}, STEPS, "must have the entries"),
        ({"a": {**entry(), "total": [1.0] * 5}}, STEPS, r"\['total'\] must have the shape of num"),
        ({"a": {**entry(), "total": [-1.0] * 6}}, STEPS, "must not be negative, got -1"),
        ({"a": {**entry(), "total": [math.nan, 0] * 3}}, STEPS, "must have a total above 0"),
        ({"a": entry()}, [0, *STEPS[1:]], "num_steps must be positive"),
        ({"a": entry()}, [math.nan, *STEPS[1:]], "num_steps must be positive"),
        ({"a": entry()}, [STEPS], r"of shape \(k,\)"),
        ({"a": entry()}, [], r"of shape \(k,\)"),
    ],
)
def test_refusals(errors: dict[str, Any], steps: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gaussian_errors(errors, steps)
