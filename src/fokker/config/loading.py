"""The loading of a model from its own description, in any folder and without its data."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fokker.config.build_data import AllData, content_of
from fokker.config.build_training import build_training
from fokker.config.instantiate import Builder
from fokker.config.sameness import other_points
from fokker.config.stages import stages
from fokker.config.surroundings import as_at_start
from fokker.config.targets import find_own
from fokker.data import DataModule, Remembered, StandardizedData
from fokker.experiment import load_model
from fokker.formulation import Formulation
from fokker.store.checkpoints import check_undamaged, weights_in
from fokker.store.description import read_description
from fokker.store.identity import Groups
from fokker.store.places import find_checkpoint
from fokker.store.records import check_has, read_record
from fokker.store.run_files import check_unchanged, read_config

#: Shift and scale of the same data, measured again elsewhere, may differ by rounding.
_ROUNDING = 1e-6


def load(
    path: str | Path, weights: str | None = None, allow_targets: Sequence[str] = ()
) -> Formulation:
    """Load the model of a finished run, in whatever mode torch is; its data may be missing.

    `model.denoiser(x, sigma)` is D in the model's units. `model.data` converts these to the units
    of the training data and back, and looks for the points only when they are asked for.

    Args:
        path: a run's folder, a model's folder, the checkpoint in one, or an exported file.
        weights: `ema`, `raw` or `ema_<half-life in images>`; None: `ema`, or for an exported file
            the weights that it has.
        allow_targets: the packages of your own that the model was made with.
    Raises:
        ValueError: if there is no such model, it does not fit its configuration, or it has no such
            weights.
    """
    if not isinstance(path, str | Path):
        raise ValueError(f"path must be a text or a Path, got {path!r}")
    with as_at_start():
        return _load(Path(path).expanduser(), weights, allow_targets)


def _load(folder: Path, weights: str | None, allow_targets: Sequence[str]) -> Formulation:
    find_own(allow_targets)
    build = Builder(allow_targets)
    # A run of network=exact has no weights, but a configuration.
    record = read_record(folder / "run.json")
    if record.get("training") == "exact":
        check_has(folder / "run.json", record, "parts", "data_groups")
        check_unchanged(folder, record, "config.yaml")
        groups = Groups.recorded(record)
        config = _recorded(folder, groups.all)
        content = record.get("made_of", {}).get("content", "")
        data = _found(config, groups, content, build, folder)
        return build_training(config, data, build).formulation.eval()
    file = find_checkpoint(folder)
    check_undamaged(file)
    description = read_description(file)
    config = OmegaConf.create(description["config"])
    data = _data_of(config, description, build, file)
    try:
        earlier = None
        for stage in stages(config, allow_targets):
            again = Builder(allow_targets)
            own = again.know(stage.formulation).data
            is_same = all(stage.get(group) == config.get(group) for group in own)
            points = data if is_same else AllData()(stage, own, again)
            earlier = build_training(stage, points, again, earlier).formulation
        training = build_training(config, data, build, earlier)
    except (AttributeError, KeyError, TypeError, OmegaConfBaseException) as error:
        why = " ".join(str(error).split())
        raise ValueError(f"the configuration of {file} is damaged: {why}") from error
    return load_model(training, file, weights_in(file, training, weights))


def _recorded(folder: Path, groups: Sequence[str]) -> DictConfig:
    """Read the configuration in a folder, with these groups."""
    file = folder / "config.yaml"
    if not file.is_file():
        raise ValueError(f"{file} is not there, so nothing says what the model in {folder} is")
    return read_config(file, *groups)


def _data_of(
    config: DictConfig, description: dict[str, Any], build: Builder, file: Path
) -> dict[str, DataModule]:
    """Return the data of a model; for standardised data its description is enough."""
    facts, record = description["data"], description["record"]
    content, groups = record.get("made_of", {}).get("content", ""), Groups.recorded(record)
    if not facts or len(groups.data) > 1:  # The recorded content is that of all groups.
        return _found(config, groups, content, build, file)

    def find() -> StandardizedData:
        try:
            (data,) = _found(config, groups, content, build, file).values()
        except ValueError as error:
            raise ValueError(f"points of the data of {file} are asked for: {error}") from error
        if not isinstance(data, StandardizedData):
            raise ValueError(other_points(str(file), config, groups.data))
        for key in ("shift", "scale"):
            if not math.isclose(getattr(data, key), facts[key], rel_tol=_ROUNDING, abs_tol=1e-12):
                raise ValueError(other_points(str(file), config, groups.data))
        return data

    return {groups.data[0]: Remembered(facts, content, find)}


def _found(
    config: DictConfig, groups: Groups, content: str, build: Builder, place: Path
) -> dict[str, DataModule]:
    """Build the data of a configuration, and refuse others than those of the training."""
    config = copy.deepcopy(config)
    data = AllData()(config, groups.data, build)
    if content not in ("", content_of(data)):
        raise ValueError(other_points(str(place), config, groups.data))
    return data
