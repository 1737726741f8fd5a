"""No text is cut off, covers another or is too small, in any figure; nothing is set globally."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from fokker.diffusion.analysis.validation import AXIS
from fokker.figures import loss_per_level, samples_beside_data, save, trajectory
from fokker.figures.layouts import Layout

LEVELS = [80, 20, 5, 2, 0.7, 0.2, 0.05, 0.0023]
SHAPES: list[tuple[int, ...]] = [(1,), (2,), (3,), (8, 8), (1, 9, 5), (3, 4, 12), (7,), (30,)]


def points(seed: int, n: int, shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    d = int(np.prod(shape))
    return scale * (3 + generator.normal(size=(n, d)) * np.linspace(0.5, 2, d))


def noisy(n: int, shape: tuple[int, ...], levels: list[float]) -> np.ndarray:
    x = points(0, n, shape) - 3
    generator = np.random.default_rng(1)
    return np.stack([x + sigma * generator.normal(size=x.shape) for sigma in levels])


def curves(count: int, name: str) -> dict[str, np.ndarray]:
    sigmas = np.geomspace(0.002, 80, 30)
    return {f"{name} {i}": (1 + i) * sigmas**2 / (0.25 + sigmas**2) for i in range(count)}


FIGURES: dict[str, Callable[[], Figure]] = {
    f"loss {count} {len(name)}": lambda count=count, name=name: loss_per_level(AXIS,   # type: ignore[misc]
        curves(count, name), np.geomspace(0.002, 80, 30), curves(1, "f")["f 0"] / 2
    )
    for count, name in [
        (1, "a"),
        (5, "edm"),
        (9, "formulation=ddpm,sde=vp_linear,grid"),
        (3, "n" * 60),
    ]
}
for shape, scale, far in [
    *itertools.product(SHAPES, (1.0,), (True,)),
    *itertools.product([(1,), (2,), (3,), (7,)], (1e-3, 3e4), (False,)),
]:

    def beside(shape: tuple[int, ...] = shape, scale: float = scale, far: bool = far) -> Figure:
        x = points(2, 700, shape, scale)
        x[:3] += 1e3 * scale * far
        return samples_beside_data(x, points(3, 900, shape, scale), shape)

    FIGURES[f"samples {shape} {scale} {far}"] = beside
for shape, k in [
    *itertools.product(SHAPES, (8,)),
    *itertools.product([(1,), (2,), (3,), (8, 8)], (1, 3)),
]:
    FIGURES[f"trajectory {shape} {k}"] = (
        lambda shape=shape, k=k: trajectory(  # type: ignore[misc]
            noisy(400, shape, LEVELS[8 - k :]), LEVELS[8 - k :], shape
        )
    )
LAYOUTS: list[tuple[Layout, tuple[int, ...]]] = [
    ("image", (16, 8, 8)),
    ("image", (1, 70, 1)),
    ("volume", (4, 30, 8, 6)),
    ("series", (50, 7)),
    ("series", (1, 2)),
]
for layout, shape in LAYOUTS:
    FIGURES[f"samples {layout} {shape}"] = (
        lambda layout=layout, shape=shape: samples_beside_data(  # type: ignore[misc]
            points(2, 90, shape), points(3, 80, shape), shape, layout=layout
        )
    )
    FIGURES[f"trajectory {layout} {shape}"] = (
        lambda layout=layout, shape=shape: trajectory(  # type: ignore[misc]
            noisy(40, shape, LEVELS), LEVELS, shape, layout=layout
        )
    )
# Columns of very different size, one of them constant, far from 0.
for shape in [(2,), (3,), (6,)]:

    def columns(n: int, shape: tuple[int, ...]) -> np.ndarray:
        size = np.array([0.01, 20000, 0, 10, 1, 1])[: shape[0]]
        return points(n, 300, shape) * size - 1e6

    FIGURES[f"samples columns {shape}"] = (
        lambda shape=shape: samples_beside_data(columns(0, shape), columns(1, shape), shape)  # type: ignore[misc]
    )
    FIGURES[f"trajectory columns {shape}"] = (
        lambda shape=shape: trajectory(  # type: ignore[misc]
            np.stack([columns(0, shape) + 1e4 * s * points(5, 300, shape) for s in LEVELS]),
            LEVELS, shape,
        )
    )


def saved_text(
    figure: Figure, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Bbox, list[tuple[str, float, Bbox]]]:
    """The page of the saved PNG, and each text on it (no tick outside the limits), size, place."""
    pages: list[Bbox] = []
    found: dict[Text, tuple[str, float, Bbox]] = {}
    draw = Text.draw

    def record(self: Text, renderer: Any) -> None:
        # 200 dpi is the PNG; savefig draws it twice, the first time for the layout.
        is_png = isinstance(renderer, RendererAgg) and renderer.dpi == 200
        if is_png and self.get_visible() and self.get_text().strip():
            place = self.get_window_extent(renderer)
            found[self] = (self.get_text(), self.get_fontsize(), place)
            pages.append(Bbox.from_bounds(0, 0, renderer.width, renderer.height))
        draw(self, renderer)

    monkeypatch.setattr(Text, "draw", record)
    save(figure, folder / "figure")
    return pages[-1], list(found.values())


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", FIGURES)
def test_text_is_whole_apart_and_large_enough(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = FIGURES[name]()
    page, texts = saved_text(figure, tmp_path, monkeypatch)
    assert texts
    assert figure.get_figwidth() <= 6.5
    for text, size, box in texts:
        assert size >= 8, text
        assert box.x0 >= page.x0 - 1, f"{text!r} is cut off on the left"
        assert box.x1 <= page.x1 + 1, f"{text!r} is cut off on the right"
        assert box.y0 >= page.y0 - 1, f"{text!r} is cut off below"
        assert box.y1 <= page.y1 + 1, f"{text!r} is cut off above"
    for (a, _, one), (b, _, other) in itertools.combinations(texts, 2):
        width = min(one.x1, other.x1) - max(one.x0, other.x0)
        height = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert width <= 1 or height <= 1, f"{a!r} covers {b!r}"


def test_nothing_is_set_globally() -> None:
    before = dict(matplotlib.rcParams)
    for name in ("loss 1 1", "samples (3,) 1.0 True", "trajectory (2,) 3"):
        FIGURES[name]()
    assert dict(matplotlib.rcParams) == before


def test_the_look_does_not_depend_on_the_users_settings() -> None:
    with matplotlib.rc_context({"font.size": 30, "axes.labelsize": 30, "lines.linewidth": 9}):
        axes = FIGURES["loss 1 1"]().axes[0]
    assert axes.xaxis.label.get_fontsize() == 9
    assert axes.lines[0].get_linewidth() < 2


def test_the_import_brings_neither_pyplot_nor_torch() -> None:
    code = (
        "import sys, numpy as np, fokker.figures as f;"
        "f.samples_beside_data(np.eye(3), np.eye(3), (3,));"
        "print(sorted({'torch', 'matplotlib.pyplot', 'scipy', 'lightning'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
