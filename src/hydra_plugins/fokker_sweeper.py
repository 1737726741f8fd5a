"""Names fokker's sweeper to hydra, which finds plugins in this namespace package alone."""

from dataclasses import dataclass
from typing import final

from hydra.core.config_store import ConfigStore

from fokker.cli.sweep import GridSweeper


# A class of its own: hydra asks in which module a plugin is defined.
@final
class FokkerGridSweeper(GridSweeper):
    """`hydra/sweeper=fokker_grid`."""


@final
@dataclass
class FokkerGridConf:
    """Its keys: `hydra.sweeper.params`, of a study, and how many jobs a launcher gets at once."""

    _target_: str = "hydra_plugins.fokker_sweeper.FokkerGridSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = None


ConfigStore.instance().store(
    group="hydra/sweeper", name="fokker_grid", node=FokkerGridConf, provider="fokker"
)
