"""The loggers of a run besides its record; `Logger` and `Log` are the protocols for your own."""

from fokker.tracking.loggers import CSV, Log, Logger
from fokker.tracking.tensorboard import TensorBoard
from fokker.tracking.wandb_log import WandB

__all__ = [
    "CSV",
    "Log",
    "Logger",
    "TensorBoard",
    "WandB",
]
