"""Metrics of samples and denoisers, as torchmetrics classes that work on any processes."""

from fokker.metrics.denoising_error import DenoisingError
from fokker.metrics.energy_distance import EnergyDistance
from fokker.metrics.nearest_neighbour_ratio import NearestNeighbourRatio, RepeatedPointsError
from fokker.metrics.sliced_wasserstein import SlicedWasserstein2
from fokker.metrics.wasserstein import Wasserstein1

__all__ = [
    "DenoisingError",
    "EnergyDistance",
    "NearestNeighbourRatio",
    "RepeatedPointsError",
    "SlicedWasserstein2",
    "Wasserstein1",
]
