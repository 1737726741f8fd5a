"""The description of a model, written into the files of its weights."""

import json

from fokker.data import StandardizedData, facts_of
from fokker.machine.masking import masked_values
from fokker.store.identity import Groups
from fokker.store.records import FORMAT
from fokker.training.task import TrainingTask

# Facts of a model's record that a checkpoint on its own is checked and continued by.
_RECORDED = ("overrides", "formulation", "data", "made_of", "parts", "data_groups")


def description_of(task: TrainingTask) -> str:
    """Return the description of a task's model, JSON.

    - `format`, of run.json and model.json too;
    - `key`, and `record`: the overrides, options, groups and hashes that it was made of;
    - `config`: the resolved configuration of what the training is built from, so also the
      preconditioning and the network;
    - `data`: shape, shift, scale, moments and levels, see `facts_of`;
    - in an exported file, `weights`: the kind that it holds;
    - what the formulation says of itself: `network`, what it is made for, and the like.
    """
    model, config = task.model, task.config
    steps = {key: config["trainer"][key] for key in ("max_steps", "precision")}
    content = masked_values(
        {
            "format": FORMAT,
            "key": task.folder.path.name,
            "record": {k: v for k, v in task.facts.items() if k in _RECORDED},
            "config": {
                **{group: config[group] for group in Groups.of(type(model)).all},
                "trainer": steps,
                "seed": config["seed"],
            },
            "data": facts_of(model.data) if isinstance(model.data, StandardizedData) else {},
            **model.described(),
        }
    )
    return json.dumps(content)
