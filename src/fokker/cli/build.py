"""From a composed configuration to a checked experiment."""

import copy
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from fokker.cli.arguments import shown
from fokker.cli.choices import Choices
from fokker.cli.continuing import check_limits, predecessor_of
from fokker.cli.early import asked_of, parts_of, set_inherited
from fokker.cli.evaluations import build_evaluations, build_ways
from fokker.cli.instantiate import Builder, uncalled
from fokker.cli.keys import OF_ANY_DATA, check_keys
from fokker.cli.sameness import other_points, source_of_points
from fokker.cli.start import asked_ranks, cores
from fokker.data import DataModule, StandardizedData, gaussianized
from fokker.disk import writing
from fokker.experiment import Engine, Experiment, ModelFolder
from fokker.experiment.description import read_description, record_of
from fokker.experiment.identity import Groups, by_name, model_key, training_config
from fokker.experiment.models import (
    check_undamaged,
    load_checkpoint,
    weights_digest,
    weights_in,
)
from fokker.experiment.needs import check_needs, check_network
from fokker.experiment.own_sources import source_of
from fokker.experiment.same_data import differing, what_data
from fokker.formulation import Formulation
from fokker.nested import flat
from fokker.networks import Exact
from fokker.places import BESIDE, find_checkpoint, finished_run
from fokker.ranks import ALONE, Ranks
from fokker.records import read_config
from fokker.training import Training


def build_data(config: DictConfig, build: Builder) -> DataModule:
    """The data; a measured sigma_data and how they are standardised are written back.

    An option of the user's own has keys of its own, and may know no other word than `true`.
    """
    known = len(build.own_classes)
    # An option of one's own need not have the keys for any data.
    scope = copy.deepcopy(config)
    with open_dict(scope):
        is_gaussian, workers = (scope.data.pop(key, None) for key in OF_ANY_DATA)
    data: DataModule = build(scope.data, "data")
    if type(data).__module__.startswith("fokker."):
        # A dataset's content is hashed, so that its source may change.
        del build.own_classes[known:]
        if config.data.get("standardize") is True and isinstance(data, StandardizedData):
            config.data.standardize = data.standardize
    else:
        data.check()
    if is_gaussian:
        if not isinstance(data, StandardizedData):
            raise ValueError(
                "data.gaussianize=true needs standardised numbers, which have moments, got "
                f"{type(data).__name__}; leave it away"
            )
        data = gaussianized(data)
    if workers is not None:
        data.workers = workers
        if workers > cores():
            warnings.warn(
                f"data.workers={workers} is more than the {cores()} cores that this process has",
                stacklevel=2,
            )
    if isinstance(data, StandardizedData):
        _write_sigma_data(config, data)
    return data


def _write_sigma_data(config: DictConfig, data: StandardizedData) -> None:
    """Write a measured sigma_data into the configuration, or warn of a given one that is off."""
    given = config.data.sigma_data
    if given is None:
        config.data.sigma_data = data.sigma_data
    elif not data.standardize:
        measured = data.measured[1]
        if abs(given / measured - 1) > 0.2:
            warnings.warn(
                f"data.sigma_data={given:g} is more than 20% off the measured standard deviation, "
                f"{measured:.4g}; leave it null to use that",
                stacklevel=3,
            )


def build_training(config: DictConfig, data: DataModule, build: Builder) -> Training:
    """The formulation with its parts, untrained, with its optimiser and averages."""
    # A schedule is made where there is an optimiser.
    later = {k: uncalled(v) for k, v in config.optimizer.items() if k == "schedule"}
    changes: dict[str, dict[str, Any]] = {"optimizer": later}
    said = groups_of(config, build)
    groups = [group for group in said.all if group != "data"]
    for group in groups:
        _check_there(config, group)
    build.check_all((group, config[group]) for group in groups)
    parts = {
        group: build(config[group], group, **changes.get(group, {}))
        for group in groups
        if group != "formulation"
    }
    schedule, ema = parts.pop("optimizer"), parts.pop("ema")
    make = build(config.formulation, "formulation", _partial_=True)
    if "network" in parts and not isinstance(parts["network"], Exact):
        node: Any = OmegaConf.to_container(config.network, resolve=True)
        copies = 1 + len(ema.half_lives)
        parts["network"] = partial(check_network, parts["network"], node, copies)
    try:
        model = make(data=data, seed=config.seed, **parts)
    except (AttributeError, TypeError) as error:  # A function or class of the user's own.
        raise ValueError(f"formulation cannot be built: {type(error).__name__}: {error}") from error
    if not isinstance(model, Formulation):
        raise ValueError(
            f"formulation._target_ must name what gives a fokker.formulation.Formulation, got "
            f"{config.formulation._target_}, which gives {type(model).__name__}"
        )
    if Groups.of(type(model)) != said:
        name = type(model).__name__
        raise ValueError(
            f"formulation._target_ must say what it gives, got {config.formulation._target_}, "
            f"which gives {name}; let its annotation say so: -> {name}"
        )
    training = Training(model, schedule, ema)
    if not model.trains:
        return training
    try:
        training.configure_optimizers()
    except ValueError as error:  # Torch's own checks, which come at the start of the training.
        raise ValueError(_why_no_optimizer(error, config.optimizer.optimizer)) from error
    return training


def _check_there(config: DictConfig, group: str) -> None:
    """Refuse a configuration without an option of a group that the training is built from."""
    if config.get(group) is None:
        raise ValueError(f"{group} must be an option, and is taken away; say {group}=NAME")


def groups_of(config: DictConfig, build: Builder) -> Groups:
    """The groups that the class of the formulation says its weights depend on."""
    _check_there(config, "formulation")
    kind = build.gives(config.formulation, "formulation")
    if isinstance(kind, type) and issubclass(kind, Formulation):
        return Groups.of(kind)
    raise ValueError(
        "formulation._target_ must name a class derived from fokker.formulation.Formulation, or a "
        f"function whose annotation says which one it returns, got {config.formulation._target_}"
    )


def _why_no_optimizer(error: ValueError, node: DictConfig) -> str:
    """What is refused of an optimiser, with the key of the argument that torch speaks of."""
    said = str(error)
    if said.startswith("optimizer."):
        return said
    names = [str(key) for key in node if not str(key).startswith("_")]
    known = next((f".{name}" for name in names if name.rstrip("s") in said), "")
    return f"optimizer.optimizer{known} cannot be: {said}{'' if ';' in said else '; change it'}"


def build_experiment(config: DictConfig, choices: Choices, ranks: Ranks = ALONE) -> Experiment:
    """A checked experiment, before anything is written or trained.

    Args:
        config: composed.
        choices: what was chosen in it.
        ranks: the processes that will carry it out together.
    Raises:
        ValueError: if something in the configuration cannot be.
    """
    config = copy.deepcopy(config)
    build = Builder(config.allow_targets)
    family = build.know(config.formulation)
    check_keys(config, family)
    set_inherited(config, family)
    device = find_device(config.trainer.accelerator, ranks)
    build.check_all([*parts_of(config, family), *asked_of(config, family, choices.sources)])
    engine: Engine = build(config.trainer, "trainer")
    if config.retrain and engine.limits.words:
        raise ValueError(
            f"retrain=true does not go with {engine.limits.words}, for a model that is complete "
            "would make room for one that is not; take one of the two away"
        )
    data = build_data(config, build)
    engine.parts(data.batch_size, ranks.size if ranks.size > 1 else asked_ranks(config.trainer))
    groups, checkpoint = groups_of(config, build), None
    if config.checkpoint is not None:
        checkpoint = find_checkpoint(Path(config.checkpoint), "checkpoint")
        check_undamaged(checkpoint)
        _check_same_network(checkpoint, config, choices.options, data.content, groups)
    training = build_training(config, data, build)
    model = training.formulation
    for changed, number in build.whole.items():
        OmegaConf.update(config, changed, number)
    # Of what is trained: a sampler of the user's own does not make another model.
    source = source_of(build.own_classes, config.allow_targets)
    training.weights(config.evaluation.weights)
    if not model.trains:
        _check_untrained(config)
    training.schedule.check(config.trainer.max_steps)
    ways = build_ways(config, choices, model, build)
    evaluations = build_evaluations(config, model, ways[0], build)
    init = ""
    if config.init_from is not None:
        first = find_checkpoint(Path(config.init_from), "init_from")
        read_description(first)  # Of another version's file it is refused.
        load_checkpoint(first, training)
        training.ema.follow(model.network)
        init = weights_digest(dict(model.network.named_parameters()))
    plain: Any = OmegaConf.to_container(config, resolve=True)
    predecessor = None
    if config.continue_from is not None:
        predecessor = predecessor_of(plain, choices.options, data.content, source, training)
        check_limits(engine.limits, predecessor)
    continued = predecessor.digest if predecessor else ""
    if checkpoint is not None:
        # What it has begun with, or continues itself, need not be there any more.
        before = record_of(checkpoint).get("made_of", {})
        continued = str(before.get("continued", ""))
        init = init or str(before.get("init", ""))
    made_of = {"content": data.content, "source": source, "init": init, "continued": continued}
    key = model_key(training_config(plain, groups), **made_of)
    name = f"{choices.options['formulation']}-{choices.options['data']}-{key}"
    folder = ModelFolder(Path(config.output_dir) / "models" / name)
    if checkpoint is None and model.trains:
        with writing(folder.path):
            folder.check(training)
        _check_alone(folder, key, training_config(plain, groups), made_of)
    elif checkpoint is not None:
        _check_same(checkpoint, name, plain, choices.options, made_of, groups)
        weights_in(checkpoint, training, config.evaluation.weights)
        load_checkpoint(checkpoint, training)
    experiment = Experiment(
        model=model,
        training=training,
        folder=folder,
        checkpoint=checkpoint,
        predecessor=predecessor,
        ways=ways,
        num_samples=config.evaluation.num_samples,
        weights=config.evaluation.weights,
        seed=config.seed,
        device=device,
        engine=engine,
        intervals=build(config.callbacks, "callbacks"),
        logger=build(config.logger, "logger"),
        config=plain,
        config_text=OmegaConf.to_yaml(config, resolve=True),
        evaluations=evaluations,
        budget_points=config.evaluation.budget_points,
        beside=_beside(plain, choices.options["formulation"], data.content, groups),
        figures=config.evaluation.figures,
        batch_size=config.evaluation.batch_size,
        retrain=config.retrain,
        facts={
            "overrides": list(choices.overrides),
            "formulation": choices.options["formulation"],
            "data": choices.options["data"],
            "made_of": made_of,
            **groups.facts,
            "units": data.unit_label,
            **(predecessor.facts if predecessor else {}),
        },
        ranks=ranks,
    )
    machines = config.trainer.get("num_nodes", 1)
    asked = asked_ranks(config.trainer) // (machines if type(machines) is int else 1)
    check_needs(experiment, ranks.local_size if ranks.size > 1 else asked)
    return experiment


def _beside(
    config: Mapping[str, Any], own: str, content: str, groups: Groups
) -> dict[str, Path]:
    """Finished runs on the same data, by the name that they have in figures."""
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


def _check_untrained(config: DictConfig) -> None:
    """That nothing is asked of network=exact that needs weights."""
    for key in ("checkpoint", "init_from", "continue_from", "retrain"):
        if config[key]:
            raise ValueError(
                f"{key} must be {'false' if key == 'retrain' else 'null'} with network=exact, "
                f"which has no weights, got {shown(config[key])}; take one of the two away"
            )


def find_device(accelerator: str, ranks: Ranks = ALONE) -> torch.device:
    """Choose where a rank computes: on a GPU with CUDA or ROCm, or on the CPU.

    Apple's GPUs are left out, as torch has no float64 there, in which exact numbers are computed.

    Raises:
        ValueError: if a GPU is asked for and there is none.
    """
    if accelerator != "cpu" and torch.cuda.is_available():
        # A scheduler may let each rank see its own GPU alone.
        return torch.device("cuda", ranks.local_rank % torch.cuda.device_count())
    if accelerator == "gpu":
        raise ValueError(
            "trainer=gpu needs a GPU that torch sees, and there is none; use trainer=cpu or auto"
        )
    return torch.device("cpu")


def _check_alone(
    folder: ModelFolder, key: str, training: Mapping[str, Any], made_of: Mapping[str, str]
) -> None:
    """Refuse a folder that holds another model whose key is the same by chance.

    A configuration that was changed in the folder gives another key, and says nothing.
    """
    record = folder.record
    if not folder.config.is_file():
        return
    try:
        stored: Any = OmegaConf.to_container(read_config(folder.config))
        there, before = training_config(stored, Groups.recorded(record)), record["made_of"]
        if model_key(there, **before) != key:
            return
    except (ValueError, TypeError, KeyError, AttributeError):  # Damaged.
        return
    stored = {**flat(by_name(there)), **before}
    here = {**flat(by_name(training)), **made_of}
    names = [n for n in stored | here if shown(stored.get(n)) != shown(here.get(n))]
    if names:
        differing = (
            f"{n} ({shown(stored.get(n))} there, {shown(here.get(n))} here)" for n in names
        )
        raise ValueError(
            f"{folder.path} holds another model whose key is the same by chance: "
            f"{', '.join(differing)}; move it away, or give another seed"
        )


def _check_same_network(
    checkpoint: Path,
    config: DictConfig,
    options: Mapping[str, str],
    content: str,
    groups: Groups,
) -> None:
    """Refuse a checkpoint of another network before the one that is asked for takes its memory."""
    record = record_of(checkpoint)
    there = by_name(record["config"].get("network"))
    here: Any = by_name(OmegaConf.to_container(config.network, resolve=True))
    is_same_class = there is not None and there.get("_target_") == here.get("_target_")
    if is_same_class and there != here:
        plain: Any = OmegaConf.to_container(config, resolve=True)
        made_of = {**record.get("made_of", {}), "content": content}
        _check_same(checkpoint, "", plain, options, made_of, groups)


def _check_same(
    checkpoint: Path,
    name: str,
    config: Mapping[str, Any],
    options: Mapping[str, str],
    made_of: Mapping[str, str],
    groups: Groups,
) -> None:
    """That a checkpoint was trained with this configuration."""
    record = record_of(checkpoint)
    if record["key"] == name:
        return
    before, data = record.get("made_of", made_of), config["data"]
    if before["content"] not in ("", made_of["content"]) and source_of_points(data):
        raise ValueError(other_points(f"checkpoint={checkpoint}", data))
    there = flat(training_config(record["config"], Groups.recorded(record)))
    here = flat(training_config(config, groups))
    keys = differing(there, here)
    words = [f"{key} ({shown(there.get(key))} there, {shown(here.get(key))} here)" for key in keys]
    # Of another option all keys differ, so its name is enough.
    for group in ("data", "formulation"):
        if record.get(group, options[group]) != options[group]:
            words = [word for word in words if not word.startswith(f"{group}.")]
            words.insert(0, f"{group} ({record[group]} there, {options[group]} here)")
    if before["source"] != made_of["source"]:
        words.append("the source of your own classes")
    raise ValueError(
        f"checkpoint={checkpoint} was trained with another configuration: "
        f"{', '.join(words) or 'other initial weights'}; take these overrides away, or train a "
        "model of its own without checkpoint= (to sample along another SDE, use "
        "+sde@sampler.sde=edm)"
    )
