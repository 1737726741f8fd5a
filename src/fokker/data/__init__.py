"""Data: batches that are functions of the optimizer step, whatever trains on them.

Nothing here needs lightning: a training asks for rows by their numbers.
"""

from fokker.data.ahead import LostWorker
from fokker.data.base import DataModule
from fokker.data.batch import Batch, Conditions
from fokker.data.finite import Digits, FiniteData
from fokker.data.given import GivenPoints
from fokker.data.points_file import PointsFile
from fokker.data.remembered import Remembered, facts_of
from fokker.data.standardized import StandardizedData
from fokker.data.torch_dataset import TorchDataset
from fokker.data.toy import ToyData, gaussianized

__all__ = [
    "Batch",
    "Conditions",
    "DataModule",
    "Digits",
    "FiniteData",
    "GivenPoints",
    "LostWorker",
    "PointsFile",
    "Remembered",
    "StandardizedData",
    "TorchDataset",
    "ToyData",
    "facts_of",
    "gaussianized",
]
