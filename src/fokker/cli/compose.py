"""Finding the configuration and composing it."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

# What a run of a checkpoint does not take over from the run that trained it.
NOT_INHERITED = ("task", "checkpoint", "retrain", "output_dir", "logger", "evaluation", "hydra")


def config_dir() -> Path:
    """The folder of the configuration: inside the package in a wheel, else the repository's."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parents[1] / "conf"


def register_resolvers() -> None:
    """`${run_name:}`, the name of a run's folder: the time and six hexadecimal digits."""
    OmegaConf.register_new_resolver(
        "run_name",
        lambda: f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{secrets.token_hex(3)}",
        use_cache=True,
        replace=True,
    )


@contextmanager
def composed(overrides: Sequence[str]) -> Iterator[DictConfig]:
    """The configuration with hydra's own node, as the command line would compose it."""
    register_resolvers()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        yield compose("config", overrides=list(overrides), return_hydra_config=True)


def override_key(override: str) -> str:
    """The key that an override such as `+sde@sampler.sde=edm` or `~ema` names."""
    return override.lstrip("+~").split("=", 1)[0]


def with_inherited(overrides: Sequence[str]) -> list[str]:
    """The overrides, behind those of the run that trained `checkpoint=PATH`, if one is given.

    `fokker checkpoint=PATH sampler=ddim` so means the command that trained PATH, with another
    sampler.

    Raises:
        ValueError: if there is no checkpoint at PATH.
    """
    given = {override_key(o): o.split("=", 1)[1] for o in overrides if "=" in o}
    path = given.get("checkpoint", "null").strip("'\"")
    if path in ("null", ""):
        return list(overrides)
    # Kept out of the command's start: what finds checkpoints needs torch.
    from fokker.experiment.files import read_json
    from fokker.experiment.models import find_checkpoint

    trained: list[str] = read_json(find_checkpoint(Path(path)).parent / "model.json").get(
        "overrides", []
    )
    inherited = [
        o
        for o in trained
        if override_key(o) not in given and override_key(o).split(".")[0] not in NOT_INHERITED
    ]
    return [*inherited, *overrides]


def option(sources: Sequence[Any], group: str, name: str) -> DictConfig:
    """The file of an option, from the configuration's sources in order.

    Raises:
        ValueError: for an unknown option; says which there are.
    """
    known: set[str] = set()
    for source in sources:
        if source.schema != "file":
            continue
        folder = Path(source.path) / group
        known |= {path.stem for path in folder.glob("*.yaml")}
        if (folder / f"{name}.yaml").is_file():
            loaded = OmegaConf.load(folder / f"{name}.yaml")
            if isinstance(loaded, DictConfig):
                return loaded
    raise ValueError(f"{group}={name} is not an option; choose one of {', '.join(sorted(known))}")
