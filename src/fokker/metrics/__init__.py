"""Metrics of samples and denoisers: options of the group `metrics`, and torchmetrics classes."""

from fokker.metrics.base import Prepared, SampleMetric
from fokker.metrics.denoising_error import DenoisingError
from fokker.metrics.energy_distance import EnergyDistance
from fokker.metrics.nearest_neighbour_ratio import NearestNeighbourRatio, RepeatedPointsError
from fokker.metrics.options import W1, Energy, Memorisation, SlicedW2
from fokker.metrics.sliced_wasserstein import SlicedWasserstein2
from fokker.metrics.wasserstein import Wasserstein1

__all__ = [
    "W1",
    "DenoisingError",
    "Energy",
    "EnergyDistance",
    "Memorisation",
    "NearestNeighbourRatio",
    "Prepared",
    "RepeatedPointsError",
    "SampleMetric",
    "SlicedW2",
    "SlicedWasserstein2",
    "Wasserstein1",
]
