"""Images of any number of channels, volumes, series, and points of any size: what is drawn."""

import math
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib.axes import Axes

from fokker.figures import samples_beside_data, trajectory
from fokker.figures.components import principal_plane
from fokker.figures.layouts import Layout, kind_of

SIGMAS = [80.0, 5.0, 0.3, 0.0]


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def values(n: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(3, 2, (n, *shape))


def states(n: int, shape: tuple[int, ...]) -> np.ndarray:
    noise = values(n, shape, seed=9) - 3
    return np.stack([values(n, shape) + sigma * noise for sigma in SIGMAS])


def shown(axes: Axes) -> np.ndarray:
    (image,) = axes.images
    return np.asarray(np.ma.filled(image.get_array(), np.nan))


@pytest.mark.parametrize(
    ("shape", "layout", "kind"),
    [
        ((4,), None, "other"),
        ((2, 1, 1), "points", "plane"),
        ((5, 4, 4), None, "image"),
        ((2, 3, 4, 4), None, "volume"),
        ((3, 4, 4), "volume", "volume"),
        ((9,), "series", "series"),
        ((9, 2), None, "image"),
        ((1, 1, 1, 1, 3), None, "space"),
    ],
)
def test_how_a_shape_is_drawn(shape: tuple[int, ...], layout: Layout | None, kind: str) -> None:
    assert kind_of(shape, layout) == kind


@pytest.mark.parametrize(
    ("shape", "layout"), [((4,), "image"), ((4, 4), "volume"), ((4, 4, 4), "series")]
)
def test_a_shape_that_is_not_the_layouts_is_refused(
    shape: tuple[int, ...], layout: Layout
) -> None:
    x = values(3, shape)
    with pytest.raises(ValueError, match=rf"layout={layout} must be \(.*no drawing"):
        samples_beside_data(x, x, shape, layout=layout)


def test_four_channels_are_grey_images_beside_each_other_between_the_datas_limits() -> None:
    x, y = values(9, (4, 5, 6)), values(9, (4, 5, 6), 1) * np.array([1, 10, 0.1, 1])[:, None, None]
    figure = samples_beside_data(x, y, (4, 5, 6))
    assert figure.get_suptitle().startswith("each sample as its 4 channels")
    low, high = (end(y, axis=(0, 2, 3))[:, None, None] for end in (np.min, np.max))
    for axes, rows in zip(figure.axes, (x, y)):
        whole = shown(axes)
        gap = (whole.shape[0] - 4 * 5) // 3
        assert gap > 1
        for i in range(4):
            for c in range(4):
                drawn = whole[i * (5 + gap) :, c * 7 :][:5, :6]
                expected = np.clip((rows[i] - low) / (high - low), 0, 1)[c]
                np.testing.assert_allclose(drawn, expected)
        assert axes.images[0].get_clim() == (0, 1)


@pytest.mark.parametrize(("count", "said"), [(2, "its 2 channels"), (16, "channels 1 to 8 of 16")])
def test_channels_that_are_drawn_are_said(count: int, said: str) -> None:
    x = values(9, (count, 8, 8))
    figure = samples_beside_data(x, x, (count, 8, 8))
    assert said in figure.get_suptitle()
    on_the_way = trajectory(states(9, (count, 8, 8)), SIGMAS, (count, 8, 8))
    expected = "its 2 channels, from top" if count == 2 else "channels 1 to 4 of 16, from top"
    assert expected in on_the_way.get_suptitle()


def test_channels_on_their_way_are_below_each_other_each_in_its_own_grey() -> None:
    array = states(5, (4, 3, 7)) * np.array([1, 100, 1e-3, 1])[:, None, None]
    for axes, x in zip(trajectory(array, SIGMAS, (4, 3, 7)).axes, array):
        whole = shown(axes)
        for c in range(4):
            first = x[0, c]
            expected = (first - first.min()) / np.ptp(first)
            np.testing.assert_allclose(whole[4 * c : 4 * c + 3], expected)


@pytest.mark.parametrize("depth", [1, 4, 5])
def test_of_a_volume_the_middle_slice_is_drawn_and_said(depth: int) -> None:
    y = values(9, (1, depth, 5, 6))
    figure = samples_beside_data(y, y, (1, depth, 5, 6), layout="volume")
    middle = {1: 0, 4: 1, 5: 2}[depth]
    assert figure.get_suptitle() == f"middle slice, {middle + 1} of {depth}"
    np.testing.assert_array_equal(shown(figure.axes[1])[:5, :6], y[0, 0, middle])
    flat = trajectory(states(9, (depth, 5, 6)), SIGMAS, (depth, 5, 6), layout="volume")
    np.testing.assert_array_equal(
        shown(flat.axes[-1])[:5, :6], states(9, (depth, 5, 6))[-1, 0, middle]
    )


@pytest.mark.parametrize(
    ("shape", "down", "across"),
    [((1, 8, 8), 8, 8), ((1, 100, 100), 6, 6), ((1, 900, 900), 4, 4), ((1, 1, 100), 60, 1)],
)
def test_large_images_are_fewer_and_long_ones_are_stacked(
    shape: tuple[int, ...], down: int, across: int
) -> None:
    y = np.zeros((80, *shape))
    height, width = shown(samples_beside_data(y, y, shape).axes[0]).shape
    pixels = 4 if shape[1] == 1 else 1
    assert (height + 1) / (shape[1] * pixels + 1) == down
    assert (width + 1) / (shape[2] * pixels + 1) == across


def test_a_series_is_a_line_a_sample_and_the_band_of_nearly_all() -> None:
    x, y = values(400, (30, 2)), values(500, (30, 2), 1) * [1, 1000]
    figure = samples_beside_data(x, y, (30, 2), units="mm", layout="series")
    grid = np.array(figure.axes, dtype=object).reshape(2, 2)
    for feature, row in enumerate(grid):
        assert row[0].get_ylim() == row[1].get_ylim()
        for axes, rows in zip(row, (x, y)):
            drawn = np.stack([line.get_ydata() for line in axes.lines])
            np.testing.assert_array_equal(drawn, rows[:5, :, feature])
            band = axes.collections[0].get_paths()[0].vertices
            low, high = np.quantile(rows[:, :, feature], [0.05, 0.95], axis=0)
            assert band[:, 1].min() == pytest.approx(low.min())
            assert band[:, 1].max() == pytest.approx(high.max())
    low, high = grid[1, 1].get_ylim()
    assert low < y[..., 1].min()
    assert high > y[..., 1].max()
    assert figure.get_supylabel() == "mm"
    # A series is outside where one of its values is.
    assert grid[0, 0].get_title() == "samples"
    x[:7, 3, 1] = 1e9
    title = samples_beside_data(x, y, (30, 2), layout="series").axes[0].get_title()
    assert title == "samples (7 outside)"


def test_of_many_features_the_first_are_drawn_and_said() -> None:
    x = values(9, (5, 7))
    figure = samples_beside_data(x, x, (5, 7), layout="series")
    assert len(figure.axes) == 8
    assert figure.get_suptitle().endswith("features 1 to 4 of 7")
    on_the_way = trajectory(states(9, (5, 7)), SIGMAS, (5, 7), layout="series")
    assert len(on_the_way.axes) == 3 * len(SIGMAS)
    assert on_the_way.get_suptitle().endswith("features 1 to 3 of 7")
    first = on_the_way.axes[len(SIGMAS) - 1].lines
    np.testing.assert_array_equal(first[0].get_ydata(), states(9, (5, 7))[-1, 0, :, 0])


def test_a_series_of_one_time_is_to_be_seen() -> None:
    x = values(2, (1, 1))
    axes = samples_beside_data(x, x, (1, 1), layout="series").axes[0]
    for line, row in zip(axes.lines, x):
        assert np.ptp(line.get_xdata()) > 0
        np.testing.assert_array_equal(line.get_ydata(), row[0, 0])
    assert list(axes.get_xticks()) == [0]


# ---- sizes of coordinates --------------------------------------------------------------------


@pytest.mark.parametrize("d", [2, 3])
def test_directions_of_very_different_size_have_scales_of_their_own(d: int) -> None:
    size = np.array([0.01, 10, 20000])[:d]
    x = values(300, (d,)) * size
    for figure in (samples_beside_data(x, x, (d,)), trajectory(x[None], [0.0], (d,))):
        axes = figure.axes[-1]
        widths = [np.ptp(getattr(axes, f"get_{name}lim")()) for name in "xyz"[:d]]
        assert (np.array(widths) < 1.3 * np.ptp(x, axis=0)).all()
        if d == 2:
            assert axes.get_aspect() == "auto"
        else:
            np.testing.assert_allclose(axes._box_aspect / axes._box_aspect[0], 1)
    texts = " ".join(t.get_text() for t in figure.texts) + axes.get_title()
    assert f"1: {np.ptp(axes.get_xlim()):.2g}" in texts
    if d == 3:
        assert f"3: {np.ptp(axes.get_zlim()) / 1e5:.3g}e5" in texts


def test_components_are_not_the_largest_element_alone() -> None:
    x, y = values(300, (6,)), values(400, (6,), 1)
    size, mean = np.array([0.01, 10, 20000, 1, 1, 0]), np.array([0, 0, 1e5, 0, 0, 7])
    figure = samples_beside_data(x * size + mean, y * size + mean, (6,))
    scaled = y[:, :5] / y[:, :5].std(axis=0)
    drawn = np.asarray(figure.axes[1].collections[0].get_offsets())
    expected = np.linalg.svd(scaled - scaled.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(
        np.abs(drawn), np.abs(expected.U[:, :2] * expected.S[:2]), atol=1e-8
    )
    assert "each element divided by its standard deviation" in figure.get_suptitle()
    assert "(standard deviations)" in figure.axes[0].get_xlabel()


def test_components_in_many_dimensions_are_those_of_few_points() -> None:
    rows = values(700, (1500,)) * np.linspace(1, 4, 1500)
    plane = principal_plane(rows)
    found = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(plane.directions.T @ found.Vh[:2].T), np.eye(2), atol=1e-8)
    np.testing.assert_allclose(plane.percent, 100 * found.S[:2] ** 2 / (found.S**2).sum())


def test_coordinates_far_from_0_are_given_from_a_round_number() -> None:
    x = values(300, (2,)) + [1e9, -4321]
    left = samples_beside_data(x, x, (2,)).axes[0]
    assert left.get_xlabel() == "$x_1$ \u2212 1,000,000,000 (data units)"
    assert left.get_ylabel().startswith("$x_2$ + 4,3")
    offset = -float(left.get_ylabel().split("+ ")[1].split(" ")[0].replace(",", ""))
    np.testing.assert_allclose(left.collections[0].get_offsets(), x - [1e9, offset])
    assert trajectory(x[None, :, :1], [0.0], (1,)).get_supxlabel().startswith("$x$ \u2212 1,000,0")
    places = np.linspace(1e9 - 5, 1e9 + 9, 50)
    density = samples_beside_data(
        x[:, :1], x[:, :1], (1,), density=(places, np.exp(-((places - 1e9) ** 2)))
    )
    np.testing.assert_allclose(density.axes[0].lines[0].get_xdata(), places - 1e9)


def test_states_whose_coordinates_lie_apart_are_centred_each() -> None:
    x = values(300, (2,)) + [0, 70]
    (axes,) = trajectory(x[None], [0.0], (2,)).axes
    sides = np.ptp([axes.get_xlim(), axes.get_ylim()], axis=1)
    assert sides[0] == pytest.approx(sides[1])
    assert sides[0] < 1.3 * np.ptp(x, axis=0).max()
    assert f"side {sides[0]:.3g}" in axes.get_title()


# ---- what does not vary ----------------------------------------------------------------------

CONSTANT: list[tuple[tuple[int, ...], Layout]] = [
    ((1,), "points"), ((2,), "points"), ((3,), "points"), ((5,), "points"),
    ((4, 2, 2), "image"), ((1, 3, 2, 2), "volume"), ((4, 2), "series"),
]  # fmt: skip


@pytest.mark.one_in(4)
@pytest.mark.parametrize(("shape", "layout"), CONSTANT)
@pytest.mark.parametrize("value", [0.0, 7.5, -3e12])
def test_data_that_do_not_vary_are_drawn(
    shape: tuple[int, ...], layout: Layout, value: float
) -> None:
    x = np.full((4, 20, math.prod(shape)), value)
    figures = [
        samples_beside_data(x[0], x[0], shape, layout=layout),
        trajectory(x, SIGMAS, shape, layout=layout),
    ]
    # All but one element, and but for rounding.
    x[:, :, 0] *= 1 + 1e-15 * np.arange(20)
    x[:, :, -1] += np.arange(20)
    figures.append(samples_beside_data(x[0], x[1], shape, layout=layout))
    figures.append(trajectory(x, SIGMAS, shape, layout=layout))
    for figure in figures:
        figure.draw_without_rendering()


def test_data_that_do_not_vary_set_no_limits_to_samples() -> None:
    x = values(300, (2,))
    left, _ = samples_beside_data(x, np.full((9, 2), 3.0), (2,)).axes
    for limits, column in zip((left.get_xlim(), left.get_ylim()), x.T):
        assert ((limits[0] <= column) & (column <= limits[1])).mean() > 0.98
