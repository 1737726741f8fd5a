"""The description of a model, written into the files of its weights."""

import json
from collections.abc import Mapping

from fokker.data import StandardizedData, facts_of
from fokker.formulation import Formulation
from fokker.machine.masking import masked_values
from fokker.machine.own_code import own_code
from fokker.store.identity import Groups, extra_callbacks
from fokker.store.records import FORMAT
from fokker.training.task import TrainingTask

# The facts of a model's record that are needed to check and continue a checkpoint without it.
_RECORDED = ("overrides", "formulation", "data", "made_of", "parts", "data_groups")
_PLAIN = "make lists and numbers of it"
#: The platform's own entries, which a formulation must not give.
_OWN = ("format", "key", "record", "config", "data", "weights")


def check_described(model: Formulation) -> None:
    """Refuse a formulation whose description could not be written into a checkpoint.

    Raises:
        ValueError: if the description is not of plain values by name, or uses the platform's names.
    """
    said, rule = f"{type(model).__name__}.described", "must give plain values by name"
    with own_code(f"{said} cannot be asked", "fix it"):
        found: object = model.described()
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"{said} {rule}, got {type(found).__name__}; return a dict")
    if taken := sorted(found.keys() & {*_OWN}):
        raise ValueError(
            f"{said} must give names of its own, got {', '.join(taken)}, which the platform says; "
            "choose others"
        )
    try:
        json.dumps(found)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{said} {rule}, got what JSON has no word for: {error}; {_PLAIN}") from (
            error
        )


def description_of(task: TrainingTask) -> str:
    """Return the description of a task's model, as JSON.

    - `format`: the version of the format, as in run.json and model.json;
    - `key`: the model's key; `record`: the overrides, options, groups and hashes that made it;
    - `config`: the resolved configuration of what the training is built from, including the
      preconditioning and the network;
    - `data`: shape, shift, scale, moments and levels, see `facts_of`;
    - `weights`, only in an exported file: the kind of weights that it holds;
    - the entries of the formulation's own description, such as `network`.
    """
    model, config = task.model, task.config
    steps = {key: config["trainer"][key] for key in ("max_steps", "precision")}
    content = masked_values(
        {
            **model.described(),
            "format": FORMAT,
            "key": task.folder.path.name,
            "record": {k: v for k, v in task.facts.items() if k in _RECORDED},
            "config": {
                **{group: config[group] for group in Groups.of(type(model)).all},
                **extra_callbacks(config),
                "trainer": steps,
                "seed": config["seed"],
            },
            "data": facts_of(model.data) if isinstance(model.data, StandardizedData) else {},
        }
    )
    return json.dumps(content)
