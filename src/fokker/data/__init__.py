"""Data: LightningDataModules that give batches as functions of the step."""

from fokker.data.base import DataModule
from fokker.data.finite import Digits, FiniteData, PointsFile
from fokker.data.toy import ToyData, gaussianized

__all__ = ["DataModule", "Digits", "FiniteData", "PointsFile", "ToyData", "gaussianized"]
