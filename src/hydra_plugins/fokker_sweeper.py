"""The plugins for fokker's sweepers; hydra finds plugins only in this namespace package."""

from dataclasses import dataclass
from typing import Any, final

from hydra.core.config_store import ConfigStore

from fokker.search.sweeper import SearchSweeper
from fokker.sweeps.grid import GridSweeper


# A class of its own: hydra asks in which module a plugin is defined.
@final
class FokkerGridSweeper(GridSweeper):
    """The sweeper `hydra/sweeper=fokker_grid`."""


@final
@dataclass
class FokkerGridConf:
    """The keys of the grid sweeper, as `GridSweeper` has them."""

    _target_: str = "hydra_plugins.fokker_sweeper.FokkerGridSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = None
    settings: dict[str, Any] | None = None


ConfigStore.instance().store(
    group="hydra/sweeper", name="fokker_grid", node=FokkerGridConf, provider="fokker"
)


@final
class FokkerSearchSweeper(SearchSweeper):
    """The sweeper `hydra/sweeper=fokker_search`."""


@final
@dataclass
class FokkerSearchConf:
    """The keys of the search sweeper, as `SearchSweeper` has them."""

    _target_: str = "hydra_plugins.fokker_sweeper.FokkerSearchSweeper"
    n_trials: Any = 20
    storage: Any = "sqlite"
    sampler: Any = "tpe"
    seed: Any = 0
    directions: Any = None
    pruner: Any = None
    prune_on: Any = "denoising_error"
    n_jobs: Any = 1
    params: dict[str, str] | None = None


ConfigStore.instance().store(
    group="hydra/sweeper", name="fokker_search", node=FokkerSearchConf, provider="fokker"
)
