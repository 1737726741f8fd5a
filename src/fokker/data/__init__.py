"""Data: LightningDataModules that give batches as functions of the step."""

from fokker.data.ahead import LostWorker
from fokker.data.base import DataModule
from fokker.data.finite import Digits, FiniteData
from fokker.data.given import GivenPoints
from fokker.data.points_file import PointsFile
from fokker.data.remembered import Remembered, facts_of
from fokker.data.torch_dataset import TorchDataset
from fokker.data.toy import ToyData, gaussianized

__all__ = [
    "DataModule",
    "Digits",
    "FiniteData",
    "GivenPoints",
    "LostWorker",
    "PointsFile",
    "Remembered",
    "TorchDataset",
    "ToyData",
    "facts_of",
    "gaussianized",
]
