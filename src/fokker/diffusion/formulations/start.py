"""The start law, eigenvalues and distances of data that formulations with Gaussian noise need.

Each is computed once for a data set, and kept with a model that has asked for it.
"""

import torch
from torch import Tensor

from fokker.data import DataModule, StandardizedData
from fokker.diffusion.samplers import StartLaw

MAX_COVARIANCE_DIM = 4096
# A standard deviation below this share of sigma_data is rounding: the points are equal.
NOTHING = 1e-12


def standardized(data: DataModule, name: str) -> StandardizedData:
    """Return the data if they are standardised numbers, to which noise can be added.

    Args:
        data: the data to train on.
        name: the name of the formulation, for the message.
    Raises:
        ValueError: if they are not.
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
    """Return the eigenvalues of the data's covariance, ascending, (d,), in the model's units.

    They are float64, and exact for a known law; for a finite set they are the set's own. The
    variances of the elements replace them where the law is not known, or where d is above 4,096,
    for which the matrix would take too long.
    """
    return data.once("eigenvalues", _eigenvalues)


def max_distance(data: StandardizedData) -> float:
    """Return the largest distance between two of at most 5,000 points, in the model's units."""
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
