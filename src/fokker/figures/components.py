"""Principal components, to show in the plane what has more dimensions."""

from dataclasses import dataclass

import numpy as np

from fokker.figures.arrays import Floats, thin


@dataclass(frozen=True)
class PrincipalPlane:
    """The plane of the two directions in which points vary most.

    Args:
        centre: mean of the points, (d,).
        directions: orthonormal, (d, 2), the first with the larger variance.
        percent: of the total variance in each direction, (2,).
    """

    centre: Floats
    directions: Floats
    percent: Floats

    def project(self, rows: Floats) -> Floats:
        """Coordinates in the plane, (n, d) to (n, 2)."""
        projected: Floats = (rows - self.centre) @ self.directions
        return projected


def principal_plane(rows: Floats) -> PrincipalPlane:
    """First two principal components of points (n, d), d >= 2, from at most 4,000 of them."""
    points = thin(rows)
    centre = points.mean(axis=0)
    values, vectors = np.linalg.eigh((points - centre).T @ (points - centre))
    directions = vectors[:, [-1, -2]]
    # An eigenvector's sign is arbitrary: the entry of largest size is positive.
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.sign(directions[largest, [0, 1]])
    total = float(values.sum())
    percent = 100 * values[[-1, -2]] / total if total > 0 else np.zeros(2)
    return PrincipalPlane(centre, directions, percent)
