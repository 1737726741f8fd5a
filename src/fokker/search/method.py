"""The method of a search: names for Optuna's samplers and pruners, and their arguments."""

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, final

from fokker.search.objectives import Objectives, shown

SAMPLERS = {
    "tpe": "TPESampler", "random": "RandomSampler", "qmc": "QMCSampler", "gp": "GPSampler",
    "nsgaii": "NSGAIISampler", "cmaes": "CmaEsSampler",
}  # fmt: skip
PRUNERS = {
    "median": "MedianPruner", "percentile": "PercentilePruner", "hyperband": "HyperbandPruner",
    "successive_halving": "SuccessiveHalvingPruner", "threshold": "ThresholdPruner",
}  # fmt: skip
#: The name of a sampler or pruner and its arguments.
Part = tuple[str, Mapping[str, Any]]
#: Samplers that take only one objective.
SINGLE = ("cmaes", "gp")


@final
@dataclass(frozen=True)
class Method:
    """The method by which a search asks and prunes.

    Attributes:
        sampler, pruner: a name of SAMPLERS or PRUNERS and its arguments; a null pruner never
            prunes.
        seed: the seed of the sampler.
        storage: `sqlite` or `journal` for a file in the search's folder, or a URL for Optuna.
        prune_on: the part of the training curve that the pruner is told.
    """

    sampler: Part
    pruner: Part | None
    seed: int
    storage: str
    prune_on: str | None

    def make_sampler(self, seed: int) -> Any:
        """Make Optuna's sampler.

        Raises:
            ValueError: if it does not take the arguments, or needs a package that is not installed.
        """
        name, arguments = self.sampler
        return made("sampler", SAMPLERS, name, {**arguments, "seed": seed})


def made(module: str, names: Mapping[str, str], name: str, arguments: Mapping[str, object]) -> Any:
    """Make one of Optuna's samplers or pruners.

    Raises:
        ValueError: if it does not take the arguments, or needs a package that is not installed.
    """
    import optuna

    key = f"hydra.sweeper.{module}"
    if name == "cmaes" and find_spec("cmaes") is None:
        raise ValueError(
            f"{key}=cmaes needs the package cmaes: pip install cmaes, or choose one of "
            f"{', '.join(n for n in names if n != name)}"
        )
    kind = getattr(getattr(optuna, f"{module}s"), names[name])
    given = dict(arguments)
    takes = inspect.signature(kind).parameters
    quiet = {"warn_independent_sampling": False, "warn_asynchronous_seeding": False}
    given.update({k: v for k, v in quiet.items() if k in takes})
    for argument in given:
        if argument not in takes:
            raise ValueError(
                f"{key}.{name} has no argument {argument}; it takes {', '.join(takes)}"
            )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna warns of what is experimental.
            return kind(**given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{key}.{name} cannot be made of {dict(arguments)}: {error}") from error


def read_method(given: Mapping[str, Any], objectives: Objectives) -> Method:
    """Read the method of a search from the sweeper's keys.

    Raises:
        ValueError: if a name is unknown, or does not go with several objectives.
    """
    sampler = _part("sampler", given["sampler"], SAMPLERS)
    pruner = None if given["pruner"] is None else _part("pruner", given["pruner"], PRUNERS)
    if len(objectives.metrics) > 1:
        if sampler[0] in SINGLE:
            raise ValueError(
                f"hydra.sweeper.sampler={sampler[0]} searches for one objective, got "
                f"{', '.join(objectives.metrics)}; choose one of "
                f"{', '.join(name for name in SAMPLERS if name not in SINGLE)}"
            )
        if pruner is not None:
            raise ValueError(
                "hydra.sweeper.pruner must be null for several objectives, which one curve cannot "
                f"stand for, got {pruner[0]}"
            )
    prune_on = given["prune_on"] if pruner else None
    return Method(sampler, pruner, given["seed"], given["storage"], prune_on)


def _part(key: str, value: object, names: Mapping[str, str]) -> Part:
    """Return a name with its arguments, of which a name as text has none."""
    entries = {value: {}} if isinstance(value, str) else value
    if isinstance(entries, dict) and len(entries) == 1:
        ((name, arguments),) = entries.items()
        if name in names and isinstance(arguments, dict):
            return name, arguments
    null = "null, " if key == "pruner" else ""
    raise ValueError(
        f"hydra.sweeper.{key} must be {null}one of {', '.join(names)}, or such a name with "
        f"arguments as {{NAME: {{ARGUMENT: VALUE}}}}, got {shown(value)}"
    )


def with_steps(method: Method, experiments: Sequence[Any]) -> Method:
    """Return the method with a pruner that knows the first and the last step of the curve.

    Raises:
        ValueError: if a training has no such curve, or none before its end, or the pruner does not
            take its arguments.
    """
    from fokker.experiment.metric_names import curve_steps

    if method.pruner is None:
        return method
    name, arguments = method.pruner
    curves = [curve_steps(experiment) for experiment in experiments]
    names = set.intersection(*map(set, curves))
    if method.prune_on not in names:
        known = f"choose one of {', '.join(sorted(names))}" if names else "some train nothing"
        raise ValueError(
            "hydra.sweeper.prune_on must be in the training curve of all trials, got "
            f"{method.prune_on}; {known}"
        )
    every = min(curve[method.prune_on] for curve in curves)
    last = max(experiment.task.config["trainer"]["max_steps"] for experiment in experiments)
    if every >= last:
        raise ValueError(
            f"{method.prune_on} is first measured at step {every}, where trainings of {last} steps "
            "have ended and cannot be pruned; set callbacks.validation_steps or "
            "callbacks.log_steps lower"
        )
    known_steps: dict[str, dict[str, Any]] = {
        "hyperband": {"min_resource": every, "max_resource": last},
        "successive_halving": {"min_resource": every},
        "percentile": {"percentile": 25.0},
    }
    pruner = (name, {**known_steps.get(name, {}), **arguments})
    made("pruner", PRUNERS, *pruner)
    return replace(method, pruner=pruner)
