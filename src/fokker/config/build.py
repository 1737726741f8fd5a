"""The step from a composed configuration to a checked experiment."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from fokker.config.build_task import build_task
from fokker.config.choices import Choices
from fokker.config.early import asked_of, parts_of, set_inherited
from fokker.config.evaluations import build_evaluations, build_ways
from fokker.config.instantiate import Builder
from fokker.config.keys import check_keys
from fokker.config.metrics import build_metrics
from fokker.experiment import Experiment
from fokker.experiment.experiment import EvaluationPlan
from fokker.experiment.metric_names import other_names
from fokker.experiment.needs import check_needs
from fokker.machine.ranks import ALONE, Ranks
from fokker.machine.start import asked_ranks
from fokker.store.identity import Groups
from fokker.store.places import BESIDE, finished_run
from fokker.store.run_files import read_config
from fokker.store.same_data import differing, what_data
from fokker.training.task import TrainingTask


def build_experiment(config: DictConfig, choices: Choices, ranks: Ranks = ALONE) -> Experiment:
    """Build a checked experiment, before anything is written or trained.

    Args:
        config: the composed configuration.
        choices: the options and overrides that were chosen in it.
        ranks: the processes that will run the experiment together.
    Raises:
        ValueError: if something in the configuration is not possible.
    """
    config = copy.deepcopy(config)
    build = Builder(config.allow_targets)
    family = build.know(config.formulation)
    check_keys(config, family)
    set_inherited(config, family)
    build.check_all([*parts_of(config, family), *asked_of(config, family, choices.sources)])
    origin = build_task(config, choices, build, ranks)
    experiment = Experiment(
        origin=origin,
        plan=_plan(config, choices, build, origin.task),
        loggers={
            str(name): build(node, f"logger.{name}") for name, node in config.logger.items()
        },
    )
    machines = config.trainer.get("num_nodes", 1)
    asked = asked_ranks(config.trainer) // (machines if type(machines) is int else 1)
    check_needs(experiment, ranks.local_size if ranks.size > 1 else asked)
    return experiment


def _plan(
    config: DictConfig, choices: Choices, build: Builder, task: TrainingTask
) -> EvaluationPlan:
    """Plan what is measured on the model of a task."""
    asked, model = config.evaluation, task.model
    ways = build_ways(config, choices, model, build)
    content = task.facts["made_of"]["content"]
    evaluations = build_evaluations(config, choices, model, ways[0], build)
    taken = other_names(model, ways[0], asked.budget_points, evaluations.values())
    metrics, left_out = build_metrics(config, model.data, task.facts["data"], taken, build)
    return EvaluationPlan(
        ways=ways,
        num_samples=asked.num_samples,
        weights=asked.weights,
        seed=config.seed,
        batch_size=asked.batch_size,
        metrics=metrics,
        left_out=left_out,
        evaluations=evaluations,
        budget_points=asked.budget_points,
        beside=_beside(task.config, task.facts["formulation"], content, Groups.of(type(model))),
        figures=asked.figures,
    )


def _beside(config: Mapping[str, Any], own: str, content: str, groups: Groups) -> dict[str, Path]:
    """Find the finished runs on the same data, by the name that they have in figures."""
    found: dict[str, Path] = {}
    for text in config["evaluation"]["beside"]:
        path = Path(text)
        record = finished_run(path, BESIDE)
        stored: Any = OmegaConf.to_container(read_config(path / "config.yaml"))
        known = record.get("made_of", {}).get("content", "")
        there = what_data(stored, Groups.of_data(record), known)
        here = what_data(config, groups.data, content if known else "")
        if keys := differing(there, here):
            raise ValueError(
                f"evaluation.beside must list runs on the same data, and {path} has other data "
                f"({', '.join(keys)}), whose losses have another floor"
            )
        name = record.get("formulation", path.name)
        found[f"{name}, {path.name}" if name == own or name in found else name] = path
    return found
