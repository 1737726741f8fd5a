"""Principal components, to draw points of more dimensions in the plane."""

from dataclasses import dataclass

import numpy as np

from fokker.figures.arrays import MAX_RATIO, Floats, thin

_MANY_ELEMENTS, _FEW_POINTS = 1024, 1000


@dataclass(frozen=True)
class PrincipalPlane:
    """The plane of the two directions in which points vary most.

    Args:
        centre: the mean of the points, (d,).
        directions: orthonormal directions, (d, 2), the first with the larger variance.
        percent: the percentage of the total variance in each direction, (2,).
    """

    centre: Floats
    directions: Floats
    percent: Floats

    def project(self, rows: Floats) -> Floats:
        """Return coordinates in the plane, (n, d) to (n, 2)."""
        projected: Floats = (rows - self.centre) @ self.directions
        return projected


def element_scales(rows: Floats) -> Floats | None:
    """Return the standard deviation of each element, (d,), if a few are far larger than others.

    Then principal components would be only these few. A constant element gets 1. The result is
    None if the largest is at most ten times the lower quartile of those that vary.
    """
    points = thin(rows)
    scales = points.std(axis=0)
    varies = scales > 1e-9 * np.abs(points).max(axis=0)
    if not varies.any() or scales.max() <= MAX_RATIO * np.quantile(scales[varies], 0.25):
        return None
    return np.where(varies, scales, 1.0)


def principal_plane(rows: Floats) -> PrincipalPlane:
    """Return the first two principal components of points (n, d), d >= 2.

    They come from at most 4,000 points, and above 1,024 dimensions from at most 1,000.
    """
    points = thin(rows)
    if points.shape[1] > _MANY_ELEMENTS:
        points = thin(rows, _FEW_POINTS)
    centre = points.mean(axis=0)
    values, directions = _two_largest(points - centre)
    # An eigenvector's sign is arbitrary, so its entry of largest size is made positive.
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.sign(directions[largest, [0, 1]])
    total = float(((points - centre) ** 2).sum())
    percent = 100 * values / total if total > 0 else np.zeros(2)
    return PrincipalPlane(centre, directions, percent)


def _two_largest(centred: Floats) -> tuple[Floats, Floats]:
    """Return the two largest eigenvalues of `X^T X` of X (n, d), (2,), and unit vectors, (d, 2)."""
    n, d = centred.shape
    if d <= _MANY_ELEMENTS:
        values, vectors = np.linalg.eigh(centred.T @ centred)
        return values[[-1, -2]], vectors[:, [-1, -2]]
    # `X X^T` has the same eigenvalues, and is smaller.
    values, vectors = np.linalg.eigh(centred @ centred.T)
    largest, directions = np.zeros(2), np.eye(d, 2)
    for j in range(min(2, n)):
        across = centred.T @ vectors[:, -1 - j]
        # Points that coincide, or lie on a line, have no such direction.
        if values[-1 - j] > 1e-12 * values[-1] > 0:
            largest[j], directions[:, j] = values[-1 - j], across
    return largest, np.linalg.qr(directions)[0]
