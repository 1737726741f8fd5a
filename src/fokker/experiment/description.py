"""The description of a model: all that loading it needs, in the files of its weights."""

import json
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from fokker.data import StandardizedData, facts_of
from fokker.disk import DamagedError
from fokker.experiment.experiment import Experiment
from fokker.experiment.identity import TRAINED_FROM
from fokker.experiment.models import DESCRIPTION, read_checkpoint, safetensors_metadata
from fokker.masking import masked_values
from fokker.places import SAFETENSORS
from fokker.records import OF_BOTH, read_config, read_record

#: Of a description; raised when an older version could not read it.
FORMAT = 1
#: What condition a network takes; there is one kind so far.
CONDITION = "none"
# Facts of a model's record that a checkpoint on its own is checked and continued by.
_RECORDED = ("overrides", "formulation", "data", "made_of")
_MOST_DIGITS = 300
_PARTS = {"format": int, "key": str, "config": dict, "data": dict, "network": dict, "record": dict}


def description_of(experiment: Experiment) -> str:
    """Return the description of an experiment's model, JSON.

    - `key`, and `record`: the overrides, options and hashes that it was made of;
    - `config`: the resolved configuration of what the training is built from, so also the
      preconditioning and the network;
    - `data`: shape, shift, scale, moments and levels, see `facts_of`;
    - in an exported file, `weights`: the kind that it holds;
    - what the formulation says of itself: `network`, what it is made for, and the like.
    """
    model, config = experiment.model, experiment.config
    steps = {key: config["trainer"][key] for key in ("max_steps", "precision")}
    content = masked_values(
        {
            "format": FORMAT,
            "key": experiment.folder.path.name,
            "record": {k: v for k, v in experiment.facts.items() if k in _RECORDED},
            "config": {
                **{group: config[group] for group in TRAINED_FROM},
                "trainer": steps,
                "seed": config["seed"],
            },
            "data": facts_of(model.data) if isinstance(model.data, StandardizedData) else {},
            **model.described(),
        }
    )
    return json.dumps(content)


def read_description(file: Path) -> dict[str, Any] | None:
    """Read the description in a checkpoint or an exported file.

    Returns:
        none if an older version wrote the file.
    Raises:
        ValueError: if it is damaged, or of a version that this one does not know.
    """
    if file.suffix == SAFETENSORS:
        text = safetensors_metadata(file).get(DESCRIPTION)
    else:
        text = read_checkpoint(file).get(DESCRIPTION)
    if text is None:
        return None
    try:
        found = json.loads(text, parse_int=_whole_number)
        for key, kind in _PARTS.items():
            if not isinstance(found[key], kind):
                raise TypeError(f"{key} is no {kind.__name__}")
        if why := OF_BOTH.why_not(found["record"]):
            raise TypeError(why)
        if "${" in json.dumps(found["config"]):
            raise ValueError("its configuration refers to something by ${")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedError(file, f"its description cannot be read: {error}") from error
    if found["format"] != FORMAT or found["network"].get("condition") != CONDITION:
        raise ValueError(
            f"{file} holds a model of format {found['format']} with the condition "
            f"{found['network'].get('condition')}, and this version of fokker reads format "
            f"{FORMAT} without a condition; use the version that wrote it"
        )
    return dict(found)


def _whole_number(digits: str) -> int:
    """A whole number, of a size that can be reckoned with."""
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def record_of(file: Path) -> dict[str, Any]:
    """Return what a checkpoint was made of: its key, overrides, options and hashes, and `config`.

    It stands in the file itself; of an older version's it stands beside the file, if at all.
    """
    description = read_description(file)
    if description is not None:
        return {
            **description["record"], "key": description["key"], "config": description["config"],
        }  # fmt: skip
    record, path = read_record(file.with_name("model.json")), file.with_name("config.yaml")
    if path.is_file():
        record["config"] = OmegaConf.to_container(read_config(path, *TRAINED_FROM, "trainer"))
    return record
