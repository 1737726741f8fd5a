"""Samples beside data: the right numbers at the right place, with equal limits."""

import itertools
import math

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from sklearn.decomposition import PCA

from fokker.figures import samples_beside_data


def points(seed: int, n: int, d: int, mean: float = 3.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, np.linspace(0.5, 2, d), (n, d))


def test_histograms_hold_all_points_on_the_same_bins() -> None:
    x, y = points(0, 5000, 1, mean=3.3), points(1, 700, 1)
    figure = samples_beside_data(x, y, (1,), names=("edm, 18 steps", "digits"), units="mm")
    (axes,) = figure.axes
    assert axes.get_xlabel() == "$x$ (mm)"
    assert axes.get_ylabel() == "density (1 / mm)"
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert labels[1] == "digits"
    assert labels[0].startswith("edm, 18 steps")
    bars = [patch for patch in axes.patches if hasattr(patch, "get_width")]
    edges = np.array([bar.get_x() for bar in bars] + [bars[-1].get_x() + bars[-1].get_width()])
    np.testing.assert_allclose(
        [bar.get_height() for bar in bars],
        np.histogram(x, edges)[0] / len(x) / np.diff(edges),
        atol=0.3 / len(x) / np.diff(edges)[0],
    )
    outline = axes.patches[-1].get_path().vertices
    density = np.histogram(y, edges, density=True)[0]
    assert outline[:, 1].max() == pytest.approx(density.max())
    assert outline[:, 0].min() == pytest.approx(edges[0])
    low, high = axes.get_xlim()
    assert low < y.min()
    assert high > y.max()


@pytest.mark.parametrize("far", [-1e6, 1e6])
def test_far_samples_are_counted_and_their_mass_is_not_moved(far: float) -> None:
    x, y = points(2, 1000, 1), points(3, 1000, 1)
    x[:400] = far
    figure = samples_beside_data(x, y, (1,))
    assert figure.legends[0].get_texts()[0].get_text().startswith("samples (400 outside)")
    axes = figure.axes[0]
    bars = [patch for patch in axes.patches if hasattr(patch, "get_width")]
    assert sum(b.get_height() * b.get_width() for b in bars) == pytest.approx(0.6)
    # The data keep at least a third of the axis.
    low, high = axes.get_xlim()
    assert np.ptp(y) > 0.3 * (high - low)


def test_plane_has_equal_limits_and_aspect_and_shows_all_data() -> None:
    x, y = points(4, 300, 2, mean=5.0), points(5, 350, 2)
    x[:1], x[1:2] = 1e4, -1e4
    figure = samples_beside_data(x, y, (2,))
    left, right = figure.axes
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()
    assert left.get_aspect() == right.get_aspect() == 1.0
    assert right.get_title() == "data"
    assert left.get_xlabel() == right.get_xlabel() == "$x_1$ (data units)"
    assert left.get_ylabel() == "$x_2$ (data units)"
    np.testing.assert_allclose(left.collections[0].get_offsets(), x)
    np.testing.assert_allclose(right.collections[0].get_offsets(), y)
    low, high = np.transpose([right.get_xlim(), right.get_ylim()])
    assert ((low < y) & (y < high)).all()
    inside = ((low < x) & (x < high)).all(axis=1)
    assert inside.sum() == 298
    assert left.get_title() == "samples (2 outside)"
    assert to_hex(left.collections[0].get_facecolor()[0]) != to_hex(
        right.collections[0].get_facecolor()[0]
    )


def test_space_has_equal_limits_view_and_box() -> None:
    x, y = points(6, 300, 3, mean=4.0), points(7, 350, 3)
    x[:2] = 1e5
    figure = samples_beside_data(x, y, (3,))
    left, right = figure.axes
    for name in ("get_xlim", "get_ylim", "get_zlim"):
        assert getattr(left, name)() == getattr(right, name)()
    assert (left.elev, left.azim) == (right.elev, right.azim)
    assert [left.get_xlabel(), left.get_ylabel(), left.get_zlabel()] == ["$x_1$", "$x_2$", "$x_3$"]
    texts = [t.get_text() for t in figure.texts]
    assert any(t.startswith("samples (") for t in texts)
    assert "data" in texts
    assert any("(data units)" in t for t in texts)
    # A unit is as long in all directions.
    size = np.ptp([right.get_xlim(), right.get_ylim(), right.get_zlim()], axis=1)
    np.testing.assert_allclose(right._box_aspect / right._box_aspect.max(), size / size.max())
    # What is outside is not drawn: a 3-D axes does not clip.
    limits = [left.get_xlim(), left.get_ylim(), left.get_zlim()]
    for drawn, (low, high) in zip(left.collections[0]._offsets3d, limits):
        assert len(drawn) >= 290
        assert np.all((drawn >= low) & (drawn <= high))


@pytest.mark.parametrize("widths", [(1, 1, 1), (1, 1, 0.1), (0.1, 1, 3), (9, 1, 1)])
def test_boxes_in_space_stand_in_the_middle_of_their_half(widths: tuple[float, ...]) -> None:
    corners = np.array(list(itertools.product([-1.0, 1.0], repeat=3))) * widths + 5
    figure = samples_beside_data(corners, corners, (3,))
    figure.draw_without_rendering()
    page = figure.bbox
    for i, axes in enumerate(figure.axes):
        seen = axes.transData.transform(axes.collections[0].get_offsets())
        x, y = seen[:, 0] / page.width, seen[:, 1] / page.height
        assert i / 2 < x.min() < x.max() < (i + 1) / 2
        assert (x.min() + x.max()) / 2 == pytest.approx(i / 2 + 0.25, abs=0.05)
        assert 0.1 < y.min() < y.max() < 0.97
        # And fill it as well as labels allow.
        assert np.ptp(x) > 0.25 or np.ptp(y) > 0.5


@pytest.mark.parametrize("shape", [(2,), (3,), (6,)])
def test_at_most_4000_points_are_drawn_always_the_same(shape: tuple[int, ...]) -> None:
    x = points(8, 9001, shape[0])
    drawn = []
    for _ in range(2):
        axes = samples_beside_data(x, x, shape).axes[1]
        collection = axes.collections[0]
        assert collection.get_rasterized()
        offsets = getattr(collection, "_offsets3d", None) or collection.get_offsets().T
        drawn.append(np.array(offsets))
    assert drawn[0].shape[1] == 4000
    np.testing.assert_array_equal(drawn[0], drawn[1])


def test_other_dimensions_are_shown_by_the_datas_principal_components() -> None:
    x, y = points(9, 200, 6, mean=5.0), points(10, 300, 6)
    figure = samples_beside_data(x, y, (6,))
    left, right = figure.axes
    analysis = PCA(2).fit(y)
    for axes, rows in ((left, x), (right, y)):
        expected = analysis.transform(rows)
        drawn = np.asarray(axes.collections[0].get_offsets())
        for j in range(2):  # up to the sign
            sign = np.sign(drawn[0, j] * expected[0, j])
            np.testing.assert_allclose(drawn[:, j], sign * expected[:, j], atol=1e-8)
    assert figure.get_suptitle() == "first two principal components of the data, d = 6"
    shares = 100 * analysis.explained_variance_ratio_
    assert f"{shares[0]:.0f}% of variance" in left.get_xlabel()
    assert f"{shares[1]:.0f}% of variance" in left.get_ylabel()
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()


def test_images_in_a_grid_of_eight_by_eight() -> None:
    x, y = points(11, 70, 30), points(12, 100, 30)
    figure = samples_beside_data(x, y, (5, 6))
    for axes, rows, title in zip(figure.axes, (x, y), ("samples", "data")):
        (image,) = axes.images
        shown = np.ma.filled(image.get_array(), np.nan)
        assert shown.shape == (8 * 6 - 1, 8 * 7 - 1)
        for i, j in ((0, 0), (0, 7), (3, 2), (7, 7)):
            tile = shown[6 * i : 6 * i + 5, 7 * j : 7 * j + 6]
            np.testing.assert_array_equal(tile, rows[8 * i + j].reshape(5, 6))
        assert np.isnan(shown[5]).all()
        assert np.isnan(shown[:, 6]).all()
        # Both in the data's grey.
        assert image.get_clim() == (y.min(), y.max())
        assert image.get_cmap().name == "gray"
        assert not axes.axison
        assert axes.get_title() == title


def test_one_channel_is_grey_and_three_are_colours() -> None:
    y = points(13, 9, 2 * 4 * 3)
    grey = samples_beside_data(y[:, :8], y[:, :8], (1, 2, 4)).axes[0].images[0].get_array()
    assert grey.shape == (2 * 3 - 1, 8 * 5 - 1)
    colour = samples_beside_data(y, y, (3, 2, 4)).axes[0].images[0].get_array()
    assert colour.shape == (2 * 3 - 1, 8 * 5 - 1, 3)
    first = (y[0].reshape(3, 2, 4) - y.min()) / np.ptp(y)
    np.testing.assert_allclose(np.moveaxis(colour[:2, :4], -1, 0), first)
    assert (colour[2] == 1).all()


@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (4, 4), (1, 4, 4), (7,)])
def test_flat_or_shaped_arrays_and_tensors_are_taken(shape: tuple[int, ...]) -> None:
    y = points(14, 50, math.prod(shape))
    samples_beside_data(y.reshape(50, *shape), y, shape)
    tensor = torch.from_numpy(y).requires_grad_()
    samples_beside_data(tensor.to(torch.bfloat16), tensor.reshape(50, *shape), shape)
    # One point, and points that all coincide.
    samples_beside_data(y[:1], np.ones_like(y), shape)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (-1,)])
def test_shapes_that_cannot_be_drawn_are_refused(shape: tuple[int, ...]) -> None:
    y = np.zeros((5, max(1, abs(math.prod(shape)))))
    with pytest.raises(ValueError, match="shape"):
        samples_beside_data(y, y, shape)


def test_wrong_arrays_are_refused() -> None:
    y = points(15, 20, 2)
    with pytest.raises(ValueError, match=r"samples must have shape \(n, 2\).*got \(20, 3\)"):
        samples_beside_data(points(16, 20, 3), y, (2,))
    with pytest.raises(ValueError, match="data must have shape"):
        samples_beside_data(y, y[:0], (2,))
    with pytest.raises(ValueError, match="samples must have shape"):
        samples_beside_data(y[:, 0], y, (2,))
    for bad in (math.nan, math.inf):
        broken = y.copy()
        broken[3, 1] = bad
        with pytest.raises(ValueError, match=r"data must be finite, got 1 .* of 40"):
            samples_beside_data(y, broken, (2,))
        with pytest.raises(ValueError, match=r"samples must be finite, got 40 .* of 40"):
            samples_beside_data(y * bad, y, (2,))


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_samples_that_are_not_finite_are_left_out_and_counted(bad: float) -> None:
    x, y = points(17, 30, 2), points(18, 40, 2)
    x[7, 0] = x[20, 1] = bad
    left = samples_beside_data(x, y, (2,)).axes[0]
    drawn = np.delete(x, [7, 20], axis=0)
    np.testing.assert_array_equal(left.collections[0].get_offsets(), drawn)
    assert left.get_title().startswith("samples (2 not finite)")


def test_a_known_density_stands_in_the_place_of_the_data() -> None:
    x, y = points(1, 300, 1), points(2, 300, 1)
    places = np.linspace(-9, 9, 101)
    density = 7 * np.exp(-(places**2))
    figure = samples_beside_data(x, y, (1,), ("samples", "law"), density=(places, density))
    (axes,) = figure.axes
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xydata(), np.column_stack([places, density]))
    assert not axes.patches[-1].get_visible()
    assert axes.get_ylim()[1] > 7
