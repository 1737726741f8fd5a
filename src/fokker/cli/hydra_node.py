"""What the command line may tell hydra itself, checked before hydra makes folders by it."""

from typing import Any

from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf

#: Where runs and sweeps are written, and for instance where.
PLACES = {
    "output_dir": "./outputs",
    "hydra.run.dir": "./outputs/runs/first",
    "hydra.sweep.dir": "./outputs/sweeps/first",
}
#: Hydra's own parts that a target names, and how one is chosen.
PLUGINS = {
    "hydra.sweeper": "hydra/sweeper=fokker_grid or fokker_search",
    "hydra.launcher": "hydra/launcher=basic, joblib, submitit_local or submitit_slurm",
}


def check_hydra(config: DictConfig) -> None:
    """That places are paths, and that hydra's own targets are hydra's, or allowed ones.

    Args:
        config: composed, with hydra's node.
    Raises:
        ValueError: says the key, its value and a remedy.
    """
    for key, example in PLACES.items():
        place = OmegaConf.select(config, key)
        if not isinstance(place, str) or not place.strip():
            raise ValueError(
                f"{key} must be the path of a folder, as text, got {_shown(place)}; for "
                f"instance {key}={example}"
            )
    known = Plugins.instance().class_name_to_class
    for key, options in PLUGINS.items():
        target = OmegaConf.select(config, f"{key}._target_")
        if target not in known:
            raise ValueError(
                f"{key}._target_ must be a plugin of hydra's, got {_shown(target)}; choose "
                f"{options}"
            )
    if config.hydra.get("callbacks"):
        # Kept out of the command's start: it needs torch.
        from fokker.cli.instantiate import Builder

        Builder(["hydra", *config.allow_targets]).check(config.hydra.callbacks, "hydra.callbacks")


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).strip() or "nothing"
