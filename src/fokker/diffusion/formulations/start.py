"""What the Gaussian family asks of its data besides batches: start law, eigenvalues, distances.

Each is computed once for a data set, and kept with a model that has asked for it.
"""

import torch
from torch import Tensor

from fokker.data import DataModule, StandardizedData
from fokker.diffusion.samplers import StartLaw

MAX_COVARIANCE_DIM = 4096
# Of sigma_data: a standard deviation below is rounding, and that of equal points.
NOTHING = 1e-12


def standardized(data: DataModule, name: str) -> StandardizedData:
    """Return the data if they are such as noise can be added to, with known moments.

    Args:
        data: what is to be trained on.
        name: of the formulation, for the message.
    Raises:
        ValueError: if they are others.
    """
    if isinstance(data, StandardizedData):
        return data
    raise ValueError(
        f"data must be standardised numbers, to which {name} adds Gaussian noise, got "
        f"{type(data).__name__}; derive it from fokker.data.StandardizedData, or choose a "
        "formulation for such data"
    )


def start_law(data: StandardizedData) -> StartLaw:
    """Return the mean and the variance of each element, in the model's units."""
    return StartLaw(*data.model_moments)


def eigenvalues(data: StandardizedData) -> Tensor:
    """Return those of the covariance of the data, ascending, (d,), float64, in the model's units.

    Of a law its exact ones, of a finite set the set's own. The variances of the elements stand in
    their place where nothing is known of the law, or d is above 4,096: the matrix would take too
    long.
    """
    return data.once("eigenvalues", _eigenvalues)


def max_distance(data: StandardizedData) -> float:
    """Return the largest distance of two points among at most 5,000, in the model's units."""
    return data.once("max_distance", _max_distance)


def _eigenvalues(data: StandardizedData) -> Tensor:
    law = data.model_law
    if law is None or law.dim > MAX_COVARIANCE_DIM:
        return start_law(data).variance.double().flatten().sort().values
    found: Tensor = torch.linalg.eigvalsh(law.covariance)
    return torch.where(found > (NOTHING * data.sigma_data) ** 2, found, 0.0)


def _max_distance(data: StandardizedData) -> float:
    points = data.some_points(5_000).flatten(1)
    parts = (torch.cdist(part, points).max() for part in torch.split(points, 1_000))
    return float(max(parts)) / data.scale
