"""The chessboard against its boxes one by one."""

import math

import mpmath
import numpy as np
import pytest
import torch

from fokker.distributions import Checkerboard


def box_by_box(x: list[float], sigma: float, cells: int, low: float, high: float) -> list[float]:
    """log p, both of D and the variance: each box a product of two truncated normals."""
    with mpmath.workdps(150):
        width = (mpmath.mpf(high) - mpmath.mpf(low)) / cells
        sides = []
        for place in x:
            strips = []
            for i in range(cells):
                z1 = (place - (low + i * width)) / sigma
                z2 = z1 - width / sigma
                flip = z2 > 0
                mass = (
                    mpmath.ncdf(-z2) - mpmath.ncdf(-z1)
                    if flip
                    else mpmath.ncdf(z1) - mpmath.ncdf(z2)
                )
                shift = (mpmath.npdf(z1) - mpmath.npdf(z2)) / mass
                tilt = (z1 * mpmath.npdf(z1) - z2 * mpmath.npdf(z2)) / mass
                mean = place + sigma * shift
                strips.append((mass, mean, sigma**2 * (1 - tilt - shift**2)))
            sides.append(strips)
        boxes = [(i, j) for i in range(cells) for j in range(cells) if (i + j) % 2 == 0]
        masses = [sides[0][i][0] * sides[1][j][0] for i, j in boxes]
        total = sum(masses)
        mean = [sum(m * sides[c][b[c]][1] for m, b in zip(masses, boxes)) / total for c in (0, 1)]
        variance = sum(
            m * (sides[c][b[c]][2] + (sides[c][b[c]][1] - mean[c]) ** 2)
            for m, b in zip(masses, boxes)
            for c in (0, 1)
        )
        values = [mpmath.log(total / (len(boxes) * width**2)), *mean, variance / total]
        return [float(value) for value in values]


@pytest.mark.parametrize("cells", [4, 3])
@pytest.mark.parametrize("sigma", [0.05, 0.4, 80.0])
def test_against_boxes(cells: int, sigma: float) -> None:
    low, high = -1.0, 2.0
    law = Checkerboard(cells, low, high)
    points = [[0.1, 0.2], [-0.25, 0.5], [1.9, -0.9], [2.3, 0.4], [-1.2, 2.4]]
    points += [[0.5 + 20 * sigma, 0.3], [0.5 - 14 * sigma, 0.5 + 14 * sigma]]
    x = torch.tensor(points, dtype=torch.float64)
    exact = np.array([box_by_box(point, sigma, cells, low, high) for point in points])
    assert law.log_prob(x, sigma).numpy() == pytest.approx(exact[:, 0], rel=1e-11, abs=1e-11)
    assert law.denoise(x, sigma).numpy() == pytest.approx(exact[:, 1:3], rel=1e-10, abs=1e-10)
    score = (exact[:, 1:3] - x.numpy()) / sigma**2
    assert law.score(x, sigma).numpy() == pytest.approx(score, rel=1e-9, abs=1e-9)
    variance = law.posterior_variance(x, sigma).numpy()
    assert variance == pytest.approx(exact[:, 3], rel=1e-9, abs=0.0)


@pytest.mark.parametrize(("cells", "sigma"), [(4, 0.1), (4, 0.5), (3, 0.2), (2, 3.0)])
def test_mmse_against_the_plane(cells: int, sigma: float) -> None:
    law = Checkerboard(cells, -1.0, 2.0)
    axis = torch.arange(-1 - 9 * sigma, 2 + 9 * sigma, 0.1 * sigma, dtype=torch.float64)
    plane = torch.cartesian_prod(axis, axis)
    density = law.log_prob(plane, sigma).exp() * (axis[1] - axis[0]) ** 2
    assert float(density.sum()) == pytest.approx(1.0, rel=1e-12)
    second = float(density @ ((law.denoise(plane, sigma) - law.mean) ** 2).sum(dim=1))
    assert law.mmse(sigma).value == pytest.approx(
        float(law.variance.sum()) - second, rel=1e-9, abs=0.0
    )


@pytest.mark.parametrize("cells", [2, 3, 4, 7])
def test_samples_fill_the_cells(cells: int) -> None:
    law = Checkerboard(cells, -1.0, 2.0)
    x = law.sample(30_000, torch.Generator().manual_seed(1))
    index = ((x + 1) / 3 * cells).floor().long()
    assert (index.sum(dim=1) % 2 == 0).all()
    counts = torch.bincount(index[:, 0] * cells + index[:, 1], minlength=cells**2)
    used = counts[counts > 0].double()
    assert len(used) == (cells**2 + 1) // 2
    expected = 30_000 / len(used)
    assert float((used - expected).abs().max()) < 4.5 * math.sqrt(expected)
    inner = ((x + 1) / 3 * cells).frac()
    assert float((inner.mean(dim=0) - 0.5).abs().max()) < 0.01
    assert law.log_prob(x).tolist() == pytest.approx(
        [-math.log(len(used) * (3 / cells) ** 2)] * len(x)
    )
    assert law.log_prob(torch.tensor([[-1.1, 0.0], [2.1, 2.0]])).tolist() == [-math.inf] * 2
    # One cell to the right is a cell of the other colour, or outside.
    assert (law.log_prob(x + torch.tensor([3 / cells, 0.0])) == -math.inf).all()
