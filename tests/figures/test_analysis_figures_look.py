"""Text of the analysis' figures is whole, apart and large enough; the same input, the same file."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from test_figures_look import saved_text

from fokker.diffusion.analysis.validation import AXIS
from fokker.figures import error_budget, loss_per_level, marginals, metric_against_nfe, save

U = (np.arange(3000) + 0.5) / 3000
SIGMAS = np.geomspace(0.002, 80, 30)
LONG = "formulation=ddpm,sde=vp_linear,grid=uniform_time,seed=3"


def budget(
    scale: float = 1.0, names: tuple[str, ...] = (), zero: bool = False, d: int = 1
) -> Figure:
    names = names or ("truncation", "prior", "discretisation", "learning")
    sizes = scale * 10.0 ** -np.arange(len(names))
    terms = {n: s * np.sin((9 + i) * U) for i, (n, s) in enumerate(zip(names, sizes))}
    if zero:
        terms[names[-1]] = np.zeros(3000)
    total = sum(terms.values())
    more = {"learning, N -> infinity": 0.0 if zero else 0.7 * scale}
    if d > 1:
        return error_budget(
            {name: np.tile(term[:, None], d) for name, term in terms.items()},
            np.tile(np.asarray(total)[:, None], d),
            more,
        )
    return error_budget(terms, total, more, U, "standardised units")


def loss(count: int, name: str, lost: int) -> Figure:
    excess = {f"{name} {i}": 1e-3 * (1 + i) * SIGMAS / (1 + SIGMAS) for i in range(count)}
    for values, change in zip(list(excess.values())[:lost], itertools.cycle((0.0, -1.0))):
        values[5:] *= change
    floor = SIGMAS**2 / (4 + SIGMAS**2)
    curves = {key: floor + np.abs(values) for key, values in excess.items()}
    return loss_per_level(AXIS, curves, SIGMAS, floor, excess)


def metric(samplers: int, grids: int, low: int, high: int, name: str = "sampler") -> Figure:
    steps = np.unique(np.geomspace(low, high, 11).round().astype(int))
    rows = [
        {"line": f"{name}_{i}", "panel": f"grid_{j}", "num_steps": n, "nfe": n, "w1": (1 + i) / n}
        for i in range(samplers)
        for j in range(grids)
        for n in steps
    ]
    rows.append({"line": "adaptive", "panel": None, "num_steps": None, "nfe": low, "w1": 1 / low})
    return metric_against_nfe(rows, "w1", label="$W_1$ (data units)")


def distances(scale: float, zero: bool = False) -> Figure:
    below = np.geomspace(0.01, 80, 40)
    forward = scale * (1 + SIGMAS) ** 0.3
    backward = 2 * forward * (0 if zero else 1)
    return marginals(SIGMAS, forward, backward, below, backward[0] / below**2, noise=scale)


FIGURES: dict[str, Callable[[], Figure]] = {
    "budget": lambda: budget(1e-3),
    "budget zero": lambda: budget(zero=True),
    "budget long": lambda: budget(names=(LONG, "b")),
    "budget d": lambda: budget(zero=True, d=7),
    "loss lost": lambda: loss(5, "edm", 3),
    "loss long": lambda: loss(3, LONG, 3),
    **{f"metric {n}": lambda n=n: metric(8, n, 1, 1000) for n in (1, 5)},  # type: ignore[misc]
    "metric wide": lambda: metric(2, 3, 1, 10**7),
    "metric narrow": lambda: metric(1, 2, 90, 110),
    "metric large": lambda: metric(1, 5, 10**5, 2 * 10**5),
    "metric one": lambda: metric(1, 1, 35, 35),
    "metric long": lambda: metric(3, 2, 1, 100, LONG),
    "marginals": lambda: distances(4e-3),
    "marginals zero": lambda: distances(4e-3, zero=True),
}


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
        inside = [box.x0 - page.x0, page.x1 - box.x1, box.y0 - page.y0, page.y1 - box.y1]
        assert min(inside) >= -1, f"{text!r} is cut off"
    for (a, _, one), (b, _, other) in itertools.combinations(texts, 2):
        width = min(one.x1, other.x1) - max(one.x0, other.x0)
        height = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert width <= 1 or height <= 1, f"{a!r} covers {b!r}"


@pytest.mark.long
@pytest.mark.parametrize("name", ["budget", "loss lost", "metric one", "marginals"])
def test_the_same_input_is_the_same_file(name: str, tmp_path: Path) -> None:
    one, two = (save(FIGURES[name](), tmp_path / n) for n in ("one", "two"))
    for a, b in ((one, two), (one.with_suffix(".pdf"), two.with_suffix(".pdf"))):
        assert a.read_bytes() == b.read_bytes()


def test_a_budget_of_many_points_is_a_small_pdf(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(2, 100_000))
    u = (np.arange(100_000) + 0.5) / 100_000
    terms = {"a": noise[0], "b": noise[1]}
    path = save(error_budget(terms, noise.sum(axis=0), u=u), tmp_path / "a")
    assert path.with_suffix(".pdf").stat().st_size < 400_000
