"""Pruning: a job reports its training curve to its trial, which may end it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fokker.search.method import PRUNERS, made
from fokker.search.storage import open_storage, storing, trial_id
from fokker.store.records import read_record


def watcher(path: Path) -> Callable[[Mapping[str, Any], int], bool] | None:
    """Make a function that reports the training curve of the job in `path` to its trial.

    Returns:
        A function of (metrics, step), which returns true if the training is to be stopped; null
            without a pruner.
    """
    facts = read_record(path / "trial.json")
    if not facts.get("pruner"):
        return None
    import optuna

    storage = open_storage(facts["storage"])
    study = optuna.load_study(
        study_name=facts["study"], storage=storage, pruner=made("pruner", PRUNERS, *facts["pruner"])
    )
    trial = optuna.trial.Trial(study, trial_id(storage, facts["study"], facts["number"]))
    # Optuna judges a curve by the objective's direction. For a curve lower is always better, so
    # that its sign is changed if the objective is maximized.
    sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
    known = study.trials[facts["number"]]
    reported = set(known.intermediate_values)

    def watch(metrics: Mapping[str, Any], step: int) -> bool:
        value = metrics.get(facts["prune_on"])
        if value is None:  # It is measured less often than others.
            return False
        with storing(facts["storage"]):
            if step not in reported and not known.state.is_finished():
                trial.report(sign * value, step)
                reported.add(step)
            return bool(trial.should_prune())

    return watch
