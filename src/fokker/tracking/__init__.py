"""Loggers: where a run is told of besides its record."""

from fokker.tracking.loggers import CSV
from fokker.tracking.wandb_log import WandB

__all__ = [
    "CSV",
    "WandB",
]
