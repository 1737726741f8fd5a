"""From noise to data, one panel a noise level."""

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from fokker.figures import trajectory

SIGMAS = [80.0, 2.0, 0.3, 0.0]


def states(n: int, d: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    data = generator.normal(1.0, np.linspace(0.5, 1.5, d), (n, d))
    return np.stack([data + sigma * generator.normal(size=(n, d)) for sigma in SIGMAS])


def titles(shape: tuple[int, ...]) -> list[str]:
    figure = trajectory(states(200, math.prod(shape)), SIGMAS, shape)
    assert len(figure.axes) == 4
    return [a.get_title() or t.get_text() for a, t in zip(figure.axes, figure.texts + [None] * 4)]


@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (4, 5), (1, 4, 5), (3, 4, 5), (9,)])
def test_every_panel_says_its_sigma_in_order(shape: tuple[int, ...]) -> None:
    for title, sigma in zip(titles(shape), ("80", "2", "0.3", "0")):
        assert title.split("\n")[0] == rf"$\sigma$ = {sigma}"


def test_histograms_have_limits_of_their_own() -> None:
    array = states(3000, 1)
    figure = trajectory(array, SIGMAS, (1,), units="mm")
    for axes, x in zip(figure.axes, array):
        low, high = axes.get_xlim()
        assert 0.5 * (high - low) < np.ptp(x) < 2 * (high - low)
        area = sum(bar.get_height() * bar.get_width() for bar in axes.patches)
        assert area == pytest.approx(1, abs=0.003)
    assert figure.get_supxlabel() == "$x$ (mm)"
    assert figure.axes[0].get_ylabel() == "density (own scale)"


def test_planes_are_square_with_limits_of_their_own() -> None:
    array = states(3000, 2)
    figure = trajectory(array, SIGMAS, (2,))
    for axes, x in zip(figure.axes, array):
        assert axes.get_xlim() == axes.get_ylim()
        assert axes.get_aspect() == 1.0
        low, high = axes.get_xlim()
        assert 0.5 * (high - low) < np.ptp(x) < 2 * (high - low)
        np.testing.assert_allclose(axes.collections[0].get_offsets(), x)
        ticks = [t.get_text() for t in axes.get_xticklabels()]
        assert [float(t.replace("\u2212", "-")) for t in ticks] == list(axes.get_xticks())
        assert list(axes.get_yticks()) == list(axes.get_xticks())
    assert "standardised units" in figure.get_supxlabel()


def test_spaces_are_cubes_that_say_their_side() -> None:
    array = states(3000, 3)
    figure = trajectory(array, SIGMAS, (3,))
    for axes, x, text in zip(figure.axes, array, figure.texts):
        sides = np.ptp([axes.get_xlim(), axes.get_ylim(), axes.get_zlim()], axis=1)
        np.testing.assert_allclose(sides, sides[0])
        said = float(text.get_text().split("side ")[1].replace(",", ""))
        assert said == pytest.approx(sides[0], rel=0.01)
        assert 0.5 * sides[0] < np.ptp(x) < 2 * sides[0]
    assert len({(axes.elev, axes.azim) for axes in figure.axes}) == 1


def test_images_are_the_same_samples_down_each_column_in_their_own_grey() -> None:
    array = states(9, 20)
    figure = trajectory(array, SIGMAS, (4, 5))
    for axes, x in zip(figure.axes, array):
        (image,) = axes.images
        shown = np.ma.filled(image.get_array(), np.nan)
        assert shown.shape == (4 * 5 - 1, 5)
        for i in range(4):
            np.testing.assert_array_equal(shown[5 * i : 5 * i + 4], x[i].reshape(4, 5))
        assert image.get_clim() == (x[:4].min(), x[:4].max())
        assert not axes.axison


def test_other_dimensions_by_the_components_of_the_last_state() -> None:
    array = states(300, 5)
    figure = trajectory(array, SIGMAS, (5,))
    analysis = PCA(2).fit(array[-1])
    for axes, x in zip(figure.axes, array):
        drawn = np.abs(np.asarray(axes.collections[0].get_offsets()))
        np.testing.assert_allclose(drawn, np.abs(analysis.transform(x)), atol=1e-8)
    assert figure.get_suptitle() == "first two principal components of the last state, d = 5"


@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (2, 3), (7,)])
@pytest.mark.parametrize("k", [1, 8])
def test_one_to_eight_levels_flat_or_shaped(shape: tuple[int, ...], k: int) -> None:
    array = np.repeat(states(6, math.prod(shape))[-1:], k, axis=0)
    tensor = torch.from_numpy(array).requires_grad_().reshape(k, 6, *shape)
    assert len(trajectory(tensor, torch.linspace(1, 0, k), shape).axes) == k


def test_headings_are_short_numbers() -> None:
    array = np.repeat(states(6, 1)[-1:], 5, axis=0)
    figure = trajectory(array, [12345.6, 152.2, 1.0499, 0.010486, 0.00084], (1,))
    found = [axes.get_title().removeprefix(r"$\sigma$ = ") for axes in figure.axes]
    assert found == ["12,346", "152", "1.05", "0.01", "0.00084"]


@pytest.mark.parametrize(
    ("array", "sigmas", "shape", "message"),
    [
        (states(5, 2), SIGMAS[:3], (2,), "k=3 as places, got"),
        (states(5, 2)[0], SIGMAS, (2,), r"states must have shape \(k, n, d\)"),
        (states(5, 2), SIGMAS, (3,), r"states\[0\] must have shape \(n, 3\)"),

        (states(5, 2), [math.nan, 1, 1, 1], (2,), "places must be finite"),
        (states(5, 2) * math.nan, SIGMAS, (2,), r"states\[0\] must be finite"),
        (np.zeros((9, 5, 2)), np.ones(9), (2,), "at 1 to 8 levels, got 9: choose some"),
        (np.zeros((0, 5, 2)), np.ones(0), (2,), "at 1 to 8 levels, got 0"),
        (np.zeros((4, 0, 2)), SIGMAS, (2,), "n >= 1"),
        (np.zeros((4, 5, 0)), SIGMAS, (2, 0), "shape must be"),
    ],
)
def test_refusals(array: object, sigmas: object, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trajectory(array, sigmas, shape)
