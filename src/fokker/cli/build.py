"""From a composed configuration to a checked experiment."""

import copy
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, final

import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from fokker.cli.arguments import fits, shown
from fokker.cli.compose import option
from fokker.cli.instantiate import Builder
from fokker.data import DataModule, gaussianized
from fokker.experiment import Evaluation, Experiment, ModelFolder, Sampling, find_checkpoint
from fokker.experiment.files import read_json
from fokker.experiment.identity import TRAINED_FROM, model_key, source_of, training_config
from fokker.experiment.models import load_checkpoint, weights_digest
from fokker.formulations import Diffusion
from fokker.grids import Grid
from fokker.samplers import Sampler

OTHER_GROUPS = ("sde", "sampler", "grid", "trainer", "logger", "callbacks", "evaluation")
#: What must hold of keys that are no part's arguments, and how it is said.
KEYS: Mapping[str, tuple[Any, str]] = {
    "task": (Literal["run", "plan"], "run or plan"),
    "checkpoint": (str | None, "a path or null"),
    "init_from": (str | None, "a path or null"),
    "retrain": (bool, "true or false"),
    "allow_targets": (list[str], "a list of packages, such as [my_package]"),
    "output_dir": (str, "a path"),
    "seed": (int, "a whole number"),
    "trainer.accelerator": (Literal["auto", "cpu", "gpu"], "auto, cpu or gpu"),
    "trainer.max_steps": (int, "a whole number"),
    "evaluation.num_samples": (int, "a whole number"),
    "evaluation.num_steps": (list[int], "a list of whole numbers, such as [5,10]"),
    "evaluation.samplers": (
        list[str | dict[str, dict[str, Any]]],
        "a list, such as [heun,{ddim: {eta: 0.5}}]",
    ),
    "evaluation.grids": (
        list[str | dict[str, dict[str, Any]]],
        "a list, such as [geometric,{edm_rho: {rho: 5}}]",
    ),
    "evaluation.weights": (str, "text"),
    "evaluation.noise": (Literal["random", "quantiles"], "random or quantiles"),
    "evaluation.budget_points": (int | None, "a whole number or null"),
    "evaluation.beside": (list[str], "a list of the folders of finished runs"),
}


@final
@dataclass(frozen=True)
class Choices:
    """What was chosen on the command line.

    Attributes:
        options: the option of each group.
        sources: where options are found.
        overrides: as typed.
    """

    options: Mapping[str, str]
    sources: Sequence[Any]
    overrides: Sequence[str]


def build_data(config: DictConfig, build: Builder) -> DataModule:
    """The data; a measured sigma_data is written back into the configuration."""
    given = config.data.sigma_data
    # A key for any data, which their classes do not know, and an option of one's own need not have.
    scope = copy.deepcopy(config)
    with open_dict(scope):
        is_gaussian = scope.data.pop("gaussianize", False)
    data: DataModule = build(scope.data, "data")
    if is_gaussian:
        data = gaussianized(data)
    if given is None:
        config.data.sigma_data = data.sigma_data
    elif not config.data.standardize:
        measured = data.measured[1]
        if abs(given / measured - 1) > 0.2:
            warnings.warn(
                f"data.sigma_data={given:g} is more than 20% off the measured standard deviation, "
                f"{measured:.4g}; leave it null to use that",
                stacklevel=2,
            )
    return data


def build_model(config: DictConfig, data: DataModule, build: Builder) -> Diffusion:
    """The formulation with its parts, untrained."""
    parts = {
        group: build(config[group], group)
        for group in TRAINED_FROM
        if group not in ("data", "formulation")
    }
    make = build(config.formulation, "formulation", _partial_=True)
    model: Diffusion = make(data=data, seed=config.seed, **parts)
    if model.is_exact:
        return model
    try:
        model.configure_optimizers()
    except ValueError as error:  # Torch's own checks, which come at the start of the training.
        raise ValueError(f"optimizer.optimizer cannot be made: {error}") from error
    return model


def _options(
    asked: Sequence[Any], group: str, own: str, node: DictConfig, sources: Sequence[Any]
) -> Iterator[tuple[str, DictConfig]]:
    """Options of a group with a label: names, or `{name: {key: value}}`; none: the run's own."""
    for entry in asked or [own]:
        pairs = entry.items() if isinstance(entry, DictConfig) else [(entry, {})]
        for name, changes in pairs:
            label = str(name)
            if changes:
                label += f"({', '.join(f'{key}={value}' for key, value in changes.items())})"
            if label == own:
                yield label, copy.deepcopy(node)
            else:
                chosen = OmegaConf.merge(option(sources, group, str(name)), changes)
                if isinstance(chosen, DictConfig):
                    yield label, chosen


def _sampler_nodes(config: DictConfig, choices: Choices) -> Iterator[tuple[str, DictConfig]]:
    """The run's own sampler, then every sampler with every number of steps that is asked for."""
    own, asked = choices.options["sampler"], config.evaluation
    yield own, config.sampler
    for label, node in _options(asked.samplers, "sampler", own, config.sampler, choices.sources):
        # The samplers of one evaluation walk along one SDE.
        node.sde = config.sampler.sde
        for num_steps in asked.num_steps or [node.num_steps]:
            changed = copy.deepcopy(node)
            # An adaptive sampler has no number of steps, and so one row.
            if node.num_steps is not None:
                changed.num_steps = num_steps
            yield label, changed


def _samplings(
    config: DictConfig, choices: Choices, model: Diffusion, build: Builder
) -> list[Sampling]:
    """The run's own sampling first; none twice."""
    own, at_quantiles = choices.options["grid"], config.evaluation.noise == "quantiles"
    if at_quantiles and math.prod(model.data.shape) != 1:
        raise ValueError(
            "evaluation.noise=quantiles needs data in one dimension, got samples of shape "
            f"{model.data.shape}; use evaluation.noise=random"
        )
    own_grid = (own, config.grid)
    grids = list(_options(config.evaluation.grids, "grid", own, config.grid, choices.sources))
    samplings: list[Sampling] = []
    seen: list[Any] = []
    scope = copy.deepcopy(config)
    for index, (name, node) in enumerate(_sampler_nodes(config, choices)):
        for grid_name, grid_node in [own_grid] if index == 0 else grids:
            with open_dict(scope):
                scope.sampler, scope.grid = node, grid_node
            plain = OmegaConf.to_container(scope, resolve=True)
            parts = {key: plain[key] for key in ("sampler", "grid")}  # type: ignore[index,call-overload]
            if parts in seen:
                continue
            seen.append(parts)
            sampler: Sampler = build(scope.sampler, "sampler")
            grid: Grid = build(scope.grid, "grid")
            nodes = model.nodes(sampler, grid, sampler.num_steps)
            samplings.append(Sampling(name, sampler, grid_name, nodes, at_quantiles))
    return samplings


def _evaluations(
    config: DictConfig, model: Diffusion, own: Sampling, build: Builder
) -> dict[str, Evaluation]:
    """What is evaluated besides the samples, checked."""
    evaluations: dict[str, Evaluation] = {}
    for name, node in config.evaluation.items():
        if OmegaConf.is_dict(node):
            evaluations[str(name)] = build(node, f"evaluation.{name}")
            evaluations[str(name)].check(model, own)
        elif f"evaluation.{name}" not in KEYS:
            known = sorted(key.split(".")[1] for key in KEYS if key.startswith("evaluation."))
            raise ValueError(
                f"evaluation.{name} is not a key of fokker; choose one of {', '.join(known)}, or "
                "an option such as evaluation=likelihood"
            )
    return evaluations


def _check_keys(config: DictConfig) -> None:
    known = {*TRAINED_FROM, *OTHER_GROUPS, *(key for key in KEYS if "." not in key)}
    for key in map(str, config):
        if key not in known:
            raise ValueError(
                f"{key} is not a key of fokker; choose one of {', '.join(sorted(known))}, or a key "
                "below one, such as sampler.num_steps"
            )
    for key, (kind, rule) in KEYS.items():
        value = OmegaConf.select(config, key)
        plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        if not fits(plain, kind):
            raise ValueError(f"{key} must be {rule}, got {shown(plain)}")
    points = config.evaluation.budget_points
    if points is not None and points < 0:
        raise ValueError(
            "evaluation.budget_points must be null, 0 for no error budget, or positive, got "
            f"{points}"
        )
    for key in ("evaluation.num_samples", "trainer.max_steps"):
        if OmegaConf.select(config, key) < 1:
            raise ValueError(f"{key} must be at least 1, got {OmegaConf.select(config, key)}")
    for key, one in (("devices", (1, "1", "auto")), ("num_nodes", (1,))):
        if config.trainer.get(key, 1) not in one:
            raise ValueError(
                f"trainer.{key} must be 1, got {shown(config.trainer[key])}; a run is one process"
            )


def build_experiment(config: DictConfig, choices: Choices) -> Experiment:
    """A checked experiment, before anything is written or trained.

    Raises:
        ValueError: if something in the configuration cannot be.
    """
    config = copy.deepcopy(config)
    _check_keys(config)
    if "sde" not in config.sampler:
        # Not in the sampler's file: `+sde@sampler.sde=edm` would be merged into the other SDE.
        with open_dict(config):
            config.sampler.sde = "${sde}"
    device = find_device(config.trainer.accelerator)
    build = Builder(config.allow_targets)
    data = build_data(config, build)
    model = build_model(config, data, build)
    # Of what is trained: a sampler of the user's own does not make another model.
    source = source_of(build.own_classes)
    model.weights(config.evaluation.weights)
    if model.is_exact:
        _check_untrained(config)
    samplings = _samplings(config, choices, model, build)
    evaluations = _evaluations(config, model, samplings[0], build)
    init = ""
    if config.init_from is not None:
        load_checkpoint(find_checkpoint(Path(config.init_from)), model)
        model.ema.follow(model.denoiser)
        init = weights_digest(dict(model.denoiser.named_parameters()))
    plain: Any = OmegaConf.to_container(config, resolve=True)
    key = model_key(training_config(plain), data.content, source, init)
    name = f"{choices.options['formulation']}-{choices.options['data']}-{key}"
    checkpoint = None
    if config.checkpoint is not None:
        checkpoint = find_checkpoint(Path(config.checkpoint))
        _check_same(checkpoint, name, plain)
        load_checkpoint(checkpoint, model)
    return Experiment(
        model=model,
        folder=ModelFolder(Path(config.output_dir) / "models" / name),
        checkpoint=checkpoint,
        samplings=samplings,
        num_samples=config.evaluation.num_samples,
        weights=config.evaluation.weights,
        seed=config.seed,
        device=device,
        trainer=partial(build(config.trainer, "trainer")),
        intervals=build(config.callbacks, "callbacks"),
        logger=build(config.logger, "logger"),
        config=plain,
        config_text=OmegaConf.to_yaml(config, resolve=True),
        evaluations=evaluations,
        budget_points=config.evaluation.budget_points,
        beside=_beside(plain, choices.options["formulation"]),
        retrain=config.retrain,
        facts={
            "overrides": list(choices.overrides),
            "formulation": choices.options["formulation"],
            "data": choices.options["data"],
        },
    )


def _beside(config: Mapping[str, Any], own: str) -> dict[str, Path]:
    """Finished runs on the same data, by the name that they have in figures."""
    found: dict[str, Path] = {}
    for text in config["evaluation"]["beside"]:
        path = Path(text)
        record = read_json(path / "run.json")
        if record.get("status") != "completed":
            raise ValueError(
                f"evaluation.beside must list folders of finished runs, and {path} is none"
            )
        stored: Any = OmegaConf.to_container(OmegaConf.load(path / "config.yaml"))
        if _what_data(stored) != _what_data(config):
            raise ValueError(
                f"evaluation.beside must list runs on the same data, and {path} has other data, "
                "whose losses have another floor"
            )
        name = str(record["formulation"])
        found[f"{name}, {path.name}" if name == own or name in found else name] = path
    return found


def _what_data(config: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in config["data"].items() if k not in ("batch_size", "seed")}


def _check_untrained(config: DictConfig) -> None:
    """That nothing is asked of network=exact that needs weights."""
    for key in ("checkpoint", "init_from", "retrain"):
        if config[key]:
            raise ValueError(
                f"{key} must be {'false' if key == 'retrain' else 'null'} with network=exact, "
                f"which has no weights, got {shown(config[key])}; take one of the two away"
            )


def find_device(accelerator: str) -> torch.device:
    """Where a run computes.

    Raises:
        ValueError: if a GPU is asked for and there is none.
    """
    if accelerator != "cpu":
        for name, module in (("cuda", torch.cuda), ("mps", torch.mps)):
            if module.is_available():
                return torch.device(name)
    if accelerator == "gpu":
        raise ValueError(
            "trainer=gpu needs a GPU that torch sees, and there is none; use trainer=cpu or auto"
        )
    return torch.device("cpu")


def _check_same(checkpoint: Path, name: str, config: Mapping[str, Any]) -> None:
    """That a checkpoint was trained with this configuration, as far as its folder says."""
    stored = read_json(checkpoint.parent / "model.json").get("key", name)
    if stored == name:
        return
    path = checkpoint.parent / "config.yaml"
    other: Any = OmegaConf.to_container(OmegaConf.load(path)) if path.is_file() else {}
    there = _flat(training_config(other)) if other else {}
    here = _flat(training_config(config))
    differing = [
        f"{key} ({there.get(key)} there, {here.get(key)} here)"
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key)
    ]
    raise ValueError(
        f"checkpoint={checkpoint} was trained with another configuration: "
        f"{', '.join(differing) or 'other data, classes or initial weights'}; take these overrides "
        "away, or train a model of its own without checkpoint= (to sample along another SDE, "
        "use +sde@sampler.sde=edm)"
    )


def _flat(node: Any, key: str = "") -> dict[str, Any]:
    """A nested configuration as dotted keys."""
    if not isinstance(node, dict):
        return {key: node}
    flat: dict[str, Any] = {}
    for name, sub in node.items():
        flat.update(_flat(sub, f"{key}.{name}".strip(".")))
    return flat
