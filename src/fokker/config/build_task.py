"""The step from a composed configuration to a checked model: trained, found or loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from fokker.config.arguments import shown
from fokker.config.build_data import AllData, content_of
from fokker.config.build_training import build_training, groups_of
from fokker.config.choices import Choices
from fokker.config.continuing import check_limits, predecessor_of
from fokker.config.instantiate import Builder
from fokker.config.keys import check_keys
from fokker.config.same_model import check_alone, check_same, check_same_network
from fokker.config.stages import stages
from fokker.data import DataModule
from fokker.machine.disk import writing
from fokker.machine.ranks import ALONE, Ranks
from fokker.machine.start import asked_ranks
from fokker.store.checkpoints import check_undamaged, load_checkpoint, weights_digest, weights_in
from fokker.store.description import read_description, record_of
from fokker.store.identity import Groups, model_key, training_config
from fokker.store.models import ModelFolder
from fokker.store.own_sources import source_of
from fokker.store.places import find_checkpoint
from fokker.store.predecessor import Predecessor
from fokker.training import Engine, Training
from fokker.training.describing import check_described
from fokker.training.fit import Trained
from fokker.training.origin import Loaded, NoWeights, Origin
from fokker.training.task import TrainingTask


def build_task(
    config: DictConfig, choices: Choices, build: Builder, ranks: Ranks = ALONE
) -> Origin:
    """Build the task of a model and the origin of its weights, before anything is written.

    The stages that the model is made from, if there are any, are built before it.

    Args:
        config: the composed configuration, whose keys are checked; what data measure, and whole
            numbers, are written into it.
        choices: the options and overrides that were chosen in it.
        build: the builder, which knows the formulation.
        ranks: the processes that will train together.
    Raises:
        ValueError: if something in the configuration is not possible.
    """
    make_data, earlier = AllData(), None
    for stage in stages(config, config.allow_targets):
        again = Builder(config.allow_targets)
        check_keys(stage, again.know(stage.formulation))
        earlier = _built(stage, choices, again, ranks, make_data, earlier)
    return _built(config, choices, build, ranks, make_data, earlier)


def _built(
    config: DictConfig,
    choices: Choices,
    build: Builder,
    ranks: Ranks,
    make_data: AllData,
    earlier: Origin | None,
) -> Origin:
    """Build the task of one stage, made from the stage before it, and the origin of its weights."""
    device = find_device(config.trainer.accelerator, ranks)
    engine = _engine(config, build)
    groups = groups_of(config, build)
    data = make_data(config, groups.data, build)
    content, checkpoint = content_of(data), None
    batch_size = data[groups.data[0]].batch_size
    engine.parts(batch_size, ranks.size if ranks.size > 1 else asked_ranks(config.trainer))
    if config.checkpoint is not None:
        checkpoint = find_checkpoint(Path(config.checkpoint), "checkpoint")
        check_undamaged(checkpoint)
        inherited = build.know(config.formulation).inherited
        check_same_network(checkpoint, config, choices.options, content, groups, inherited)
    training = _trained(config, data, build, earlier)
    intervals = build(config.callbacks, "callbacks")
    # Only the classes built so far count: a user's own sampler does not make another model.
    source = source_of(build.own_classes, config.allow_targets)
    init = _initial_weights(config, training)
    plain: Any = OmegaConf.to_container(config, resolve=True)
    predecessor = None
    if config.continue_from is not None:
        predecessor = predecessor_of(plain, choices.options, content, source, training)
        check_limits(engine.limits, predecessor)
    made_of = _made_of(content, source, init, predecessor, earlier, checkpoint)
    key = model_key(training_config(plain, groups), **made_of)
    names = (choices.options[group] for group in ("formulation", groups.data[0]))
    task = TrainingTask(
        training=training,
        folder=ModelFolder(Path(config.output_dir) / "models" / "-".join([*names, key])),
        device=device,
        engine=engine,
        intervals=intervals,
        config=plain,
        config_text=OmegaConf.to_yaml(config, resolve=True),
        facts=_facts(choices, groups, data, made_of, predecessor),
        data=data,
        earlier=earlier,
        predecessor=predecessor,
        retrain=config.retrain,
        ranks=ranks,
    )
    return _origin(task, groups, choices.options, checkpoint)


def _engine(config: DictConfig, build: Builder) -> Engine:
    """Build the engine that trains, and refuse limits of it together with `retrain`."""
    engine: Engine = build(config.trainer, "trainer")
    if config.retrain and engine.limits.words:
        raise ValueError(
            f"retrain=true does not go with {engine.limits.words}, for a model that is complete "
            "would make room for one that is not; remove one of the two"
        )
    return engine


def _made_of(
    content: str,
    source: str,
    init: str,
    predecessor: Predecessor | None,
    earlier: Origin | None,
    checkpoint: Path | None,
) -> dict[str, str]:
    """Return what weights depend on besides the configuration, as `model_key` takes it."""
    continued = predecessor.digest if predecessor else ""
    if checkpoint is not None:
        # The model that it began with or continued may be gone, so its record is read.
        before = record_of(checkpoint).get("made_of", {})
        continued, init = str(before.get("continued", "")), init or str(before.get("init", ""))
    return {
        "content": content,
        "source": source,
        "init": init,
        "continued": continued,
        "earlier": earlier.folder.path.name if earlier and earlier.folder else "",
    }


def _origin(
    task: TrainingTask, groups: Groups, options: Mapping[str, str], checkpoint: Path | None
) -> Origin:
    """Return where the weights of a task come from, after a check that this is possible."""
    folder, made_of = task.folder, task.facts["made_of"]
    if not task.model.trains:
        return NoWeights(task)
    if checkpoint is not None:
        inherited = type(task.model).inherited
        check_same(checkpoint, folder.path.name, task.config, options, made_of, groups, inherited)
        weights_in(checkpoint, task.training, task.config["evaluation"]["weights"])
        load_checkpoint(checkpoint, task.training)
        return Loaded(task, checkpoint)
    with writing(folder.path):
        folder.check(task.training)
    check_alone(folder, training_config(task.config, groups), made_of)
    return Trained(task)


def _trained(
    config: DictConfig,
    data: Mapping[str, DataModule],
    build: Builder,
    earlier: Origin | None,
) -> Training:
    """Build the untrained model with its training, and check that the configuration fits it."""
    before = None if earlier is None else earlier.task.model
    training = build_training(config, data, build, before)
    for changed, number in build.whole.items():
        OmegaConf.update(config, changed, number)
    check_described(training.formulation)
    training.weights(config.evaluation.weights)
    if not training.formulation.trains:
        _check_untrained(config)
    training.schedule.check(config.trainer.max_steps)
    return training


def _initial_weights(config: DictConfig, training: Training) -> str:
    """Give a model the weights that its training starts from, if any, and return their hash."""
    if config.init_from is None:
        return ""
    first = find_checkpoint(Path(config.init_from), "init_from")
    read_description(first)  # Refuses a file of another version.
    load_checkpoint(first, training)
    network = training.formulation.network
    training.ema.follow(network)
    return weights_digest(dict(network.named_parameters()))


def _facts(
    choices: Choices,
    groups: Groups,
    data: Mapping[str, DataModule],
    made_of: Mapping[str, str],
    predecessor: Predecessor | None,
) -> dict[str, Any]:
    """Return what the records of the run and the model say of a task."""
    return {
        "overrides": list(choices.overrides),
        "formulation": choices.options["formulation"],
        "data": choices.options[groups.data[0]],
        "made_of": dict(made_of),
        **groups.facts,
        "units": data[groups.data[0]].unit_label,
        **(predecessor.facts if predecessor else {}),
    }


def _check_untrained(config: DictConfig) -> None:
    """Refuse keys that need weights with network=exact, which has none."""
    for key in ("checkpoint", "init_from", "continue_from", "retrain"):
        if config[key]:
            raise ValueError(
                f"{key} must be {'false' if key == 'retrain' else 'null'} with network=exact, "
                f"which has no weights, got {shown(config[key])}; remove one of the two"
            )


def find_device(accelerator: str, ranks: Ranks = ALONE) -> torch.device:
    """Choose where a rank computes: on a GPU with CUDA or ROCm, or on the CPU.

    Apple's GPUs are left out: exact numbers are computed in float64, which torch lacks there.

    Raises:
        ValueError: if a GPU is asked for and there is none.
    """
    if accelerator != "cpu" and torch.cuda.is_available():
        # A scheduler may let each rank see only its own GPU.
        return torch.device("cuda", ranks.local_rank % torch.cuda.device_count())
    if accelerator == "gpu":
        raise ValueError(
            "trainer=gpu needs a GPU that torch sees, and there is none; use trainer=cpu or auto"
        )
    return torch.device("cpu")
