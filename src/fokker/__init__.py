"""fokker: an experiment platform for diffusion models."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Result", "__version__", "load", "run"]

if TYPE_CHECKING:
    from fokker.api import load, run
    from fokker.experiment import Result


def __getattr__(name: str) -> Any:
    # Imported late: `fokker --help` must not wait for torch.
    if name in ("load", "run"):
        from fokker.machine.environment import without_empty

        with without_empty():
            from fokker import api

        return getattr(api, name)
    if name == "Result":
        from fokker.experiment import Result

        return Result
    raise AttributeError(f"module 'fokker' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
