"""The error budget: displacements that add, norms that do not."""

import itertools
import math

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fokker.figures import error_budget

N = 401
U = (np.arange(N) + 0.5) / N
TERMS = {
    "truncation": 0.03 * (U - 0.5),
    "prior": np.full(N, -2e-4),
    "discretisation": 0.2 * np.sin(9 * U),
    "learning": 0.5 * U**2,
}
TOTAL = sum(TERMS.values())


def bars(figure: Figure) -> dict[str, tuple[float, Rectangle | None]]:
    """Name at the bar, to the number beside it and the bar."""
    axes = figure.axes[-1]
    names = [t.get_text().replace("\n", " ") for t in axes.get_yticklabels()]
    boxes = {round(b.get_y() + b.get_height() / 2): b for b in axes.patches}
    numbers = {
        round(t.xy[1]): float(t.get_text().replace("\u2212", "-"))  # type: ignore[attr-defined]
        for t in axes.texts
    }
    return {name: (numbers[i], boxes.get(i)) for i, name in enumerate(names)}


def test_lines_are_the_terms_and_their_sum_at_the_quantiles() -> None:
    figure = error_budget(TERMS, TOTAL, u=U, units="mm")
    left, right = figure.axes
    assert left.get_xlabel() == "quantile $u$ of the start"
    assert left.get_ylabel() == "displacement (mm)"
    assert "mm" in right.get_xlabel()
    assert left.get_xlim() == (0, 1)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [*TERMS, "measured"]
    lines = left.lines[:5]
    for line, values in zip(lines, [*TERMS.values(), TOTAL]):
        np.testing.assert_array_equal(line.get_xdata(), U)
        np.testing.assert_array_equal(line.get_ydata(), values)
    np.testing.assert_allclose(
        sum(np.asarray(line.get_ydata()) for line in lines[:4]), lines[4].get_ydata()
    )
    low, high = left.get_ylim()
    assert low < min(TERMS["discretisation"].min(), TOTAL.min())
    assert high > TOTAL.max()
    assert left.get_title() == "displacements add"
    assert right.get_title() == "norms do not add"
    # Zero is drawn, since the sign is what a displacement is about.
    assert list(left.lines[5].get_ydata()) == [0, 0]


def test_bars_are_root_mean_squares_with_their_numbers() -> None:
    found = bars(error_budget(TERMS, TOTAL, {"learning, N -> infinity": 0.21}, U))
    # int_0^1 of the squares, which so many midpoints give to four digits.
    expected = {
        "truncation": 0.03 / math.sqrt(12),
        "prior": 2e-4,
        "discretisation": 0.2 * math.sqrt(0.5 - math.sin(18) / 36),
        "learning": 0.5 / math.sqrt(5),
        "measured": float(np.std(TOTAL) ** 2 + np.mean(TOTAL) ** 2) ** 0.5,
        "learning, N -> infinity, no part of the sum": 0.21,
    }
    assert list(found) == list(expected)
    for name, (shown, bar) in found.items():
        assert bar is not None
        assert bar.get_x() + bar.get_width() == pytest.approx(expected[name], rel=1e-3)
        # Two digits from 0.1 on are off by up to 5%.
        assert shown == pytest.approx(expected[name], rel=0.05)


def test_colours_agree_and_what_is_no_part_is_hatched() -> None:
    figure = error_budget(TERMS, TOTAL, {"more": 0.2}, U)
    found = [bar for _, bar in bars(figure).values()]
    colours = [to_hex(line.get_color()) for line in figure.axes[0].lines[:5]]
    assert [to_hex(bar.get_facecolor()) for bar in found[:5]] == colours  # type: ignore[union-attr]
    assert len(set(colours)) == 5
    assert colours[-1] == "#000000"
    assert [bool(bar.get_hatch()) for bar in found] == [False] * 5 + [True]  # type: ignore[union-attr]
    in_grey = {(line.get_marker(), line.get_linestyle()) for line in figure.axes[0].lines[:5]}
    assert len(in_grey) == 5


def test_the_order_is_the_chains_from_above() -> None:
    axes = error_budget(TERMS, TOTAL, u=U).axes[1]
    low, high = axes.get_ylim()
    assert low > high
    assert [t.get_text() for t in axes.get_yticklabels()] == [*TERMS, "measured"]


@pytest.mark.parametrize("extra", [None, {"learning, N -> infinity": 0.0}])
def test_a_term_of_zero_is_a_number_without_a_bar(extra: dict[str, float] | None) -> None:
    terms = {**TERMS, "learning": np.zeros(N)}
    figure = error_budget(terms, sum(terms.values()), extra, U)
    found = bars(figure)
    assert found["learning"] == (0, None)
    texts = [t.get_text() for t in figure.axes[1].texts]
    assert texts[3] == "0"
    if extra:
        assert found["learning, N -> infinity, no part of the sum"] == (0, None)
    # The axis is that of the others.
    low, high = figure.axes[1].get_xlim()
    assert 2e-5 < low < 2e-4
    assert 0.14 < high < 10


def test_a_term_of_rounding_does_not_stretch_the_axis() -> None:
    terms = {**TERMS, "learning": np.full(N, 1e-17)}
    figure = error_budget(terms, sum(terms.values()), u=U)
    found = bars(figure)
    assert found["learning"][0] == pytest.approx(1e-17)
    low, high = figure.axes[1].get_xlim()
    assert high / low < 1e12


def test_all_zero() -> None:
    figure = error_budget({"a": [0.0, 0.0], "b": [0.0, 0.0]}, [0.0, 0.0], {"c": 0}, [0.25, 0.75])
    assert [shown for shown, _ in bars(figure).values()] == [0, 0, 0, 0]
    assert not len(figure.axes[1].get_xticks())
    low, high = figure.axes[0].get_ylim()
    assert low < 0 < high


def test_quantiles_in_any_order() -> None:
    shuffled = np.random.default_rng(0).permutation(N)
    one = error_budget(TERMS, TOTAL, u=U)
    two = error_budget(
        {name: term[shuffled] for name, term in TERMS.items()}, TOTAL[shuffled], u=U[shuffled]
    )
    for a, b in zip(one.axes[0].lines, two.axes[0].lines):
        np.testing.assert_array_equal(a.get_xydata(), b.get_xydata())


def test_many_points_are_thinned_alike_in_every_line_and_the_norms_are_of_all() -> None:
    n = 100_000
    u = (np.arange(n) + 0.5) / n
    spike = np.zeros(n)
    spike[1::2] = 1.0
    figure = error_budget({"a": np.sqrt(u), "b": spike}, np.sqrt(u) + spike, u=u)
    a, b, total = figure.axes[0].lines[:3]
    assert len(a.get_xdata()) == 4000
    np.testing.assert_allclose(a.get_ydata(), np.sqrt(np.asarray(a.get_xdata())))
    np.testing.assert_array_equal(
        total.get_ydata(), np.asarray(a.get_ydata()) + np.asarray(b.get_ydata())
    )
    found = bars(figure)
    assert found["a"][1].get_x() + found["a"][1].get_width() == pytest.approx(0.5**0.5)  # type: ignore[union-attr]
    assert found["b"][0] == pytest.approx(0.5**0.5, abs=0.005)


def test_tails_do_not_flatten_the_rest_and_are_counted() -> None:
    n = 1000
    u = (np.arange(n) + 0.5) / n
    term = 0.1 * np.sin(6 * u)
    term[:3], term[-2:] = -40, 70
    axes = error_budget({"learning": term}, term, u=u).axes[0]
    low, high = axes.get_ylim()
    assert -0.2 < low < -0.1
    assert 0.1 < high < 0.2
    assert axes.get_title() == "displacements add\n(0.5% of the quantiles reach beyond)"


@pytest.mark.parametrize("shape", [(50, 3), (50, 2, 4, 4)])
def test_in_more_dimensions_there_are_only_bars_of_lengths(shape: tuple[int, ...]) -> None:
    # Every sample is moved by 3 along one coordinate and by 4 along another.
    a, b = np.zeros(shape), np.zeros(shape)
    a.reshape(50, -1)[:, 0] = 3
    b.reshape(50, -1)[:, 2] = -4
    figure = error_budget({"a": a, "b": b}, a + b, {"c": 2.0}, units="grey levels")
    (axes,) = figure.axes
    assert not axes.lines
    assert "grey levels" in axes.get_xlabel()
    assert [shown for shown, _ in bars(figure).values()] == [3, 4, 5, 2]


def test_one_dimension_as_a_column_and_as_tensors() -> None:
    column = {name: torch.from_numpy(term)[:, None] for name, term in TERMS.items()}
    total = torch.from_numpy(TOTAL)[:, None].requires_grad_()
    one = error_budget(column, total, u=torch.from_numpy(U))
    two = error_budget(TERMS, TOTAL, u=U)
    for a, b in zip(one.axes[0].lines, two.axes[0].lines):
        np.testing.assert_array_equal(a.get_xydata(), b.get_xydata())
    assert len(error_budget(TERMS, TOTAL).axes) == 1


def test_float32_terms_add_well_enough() -> None:
    # Maps in float32, whose differences round to 1e-6 where they are 1e-3.
    maps = np.cumsum([20 + U, 1e-3 * U, 1e-3 * U**2], axis=0).astype(np.float32)
    terms = {"a": maps[1] - maps[0], "b": maps[2] - maps[1]}
    assert len(error_budget(terms, maps[2] - maps[0], u=U).axes) == 2


def test_one_point() -> None:
    figure = error_budget({"a": [0.3], "b": [-0.1]}, [0.2], u=[0.4])
    assert [shown for shown, _ in bars(figure).values()] == [0.3, 0.1, 0.2]
    low, high = figure.axes[0].get_ylim()
    assert low < -0.1
    assert high > 0.3


def test_more_terms_than_colours() -> None:
    terms = {f"$step_{i}": np.full(3, i + 1.0) for i in range(9)}
    figure = error_budget(terms, np.full(3, 45.0), u=[0.1, 0.5, 0.9])
    lines = figure.axes[0].lines[:9]
    assert all(a.get_color() != b.get_color() for a, b in itertools.pairwise(lines))
    assert len({(line.get_marker(), line.get_color()) for line in lines}) == 9
    assert figure.axes[1].get_yticklabels()[0].get_text() == r"\$step_0"


@pytest.mark.parametrize(
    ("terms", "total", "extra", "u", "message"),
    [
        ({}, [1.0], None, None, "terms must hold at least one term"),
        ({"a": [1.0, 2.0]}, [1.0], None, None, r"terms\['a'\] must have the shape of total"),
        ({"a": [1.0]}, [2.0], None, None, "must add to the total, but it is 1 "),
        ({"a": U, "b": U}, 2.05 * U, None, U, "must add to the total"),
        ({"a": [math.nan]}, [0.0], None, None, r"terms\['a'\] must be finite, got 1 NaN"),
        ({"a": [1.0]}, [math.inf], None, None, "total must be finite"),
        ({"a": []}, [], None, None, "total must have shape"),
        ({"a": 1.0}, 1.0, None, None, "total must have shape"),
        ({"a": [1.0]}, [1.0], {"b": -1.0}, None, r"extra\['b'\] must be 0 or above"),
        ({"a": [1.0]}, [1.0], {"b": math.nan}, None, r"extra\['b'\] must be 0 or above"),
        ({"a": [1.0]}, [1.0], None, [0.1, 0.2], r"u must have shape \(1,\)"),
        ({"a": [1.0]}, [1.0], None, [1.2], r"u must be within \[0, 1\]"),
        ({"a": [1.0]}, [1.0], None, [math.nan], r"u must be within \[0, 1\]"),
        ({"a": [[1.0, 2.0]]}, [[1.0, 2.0]], None, [0.5], "u must be None for data in 2 dim"),
    ],
)
def test_refusals(terms: object, total: object, extra: object, u: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        error_budget(terms, total, extra, u)  # type: ignore[arg-type]
