"""Hints for an unknown key: a key further down, of another option, or elsewhere."""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from omegaconf import DictConfig, OmegaConf

from fokker.config.choices import options_with
from fokker.config.hydra_node import PLUGINS
from fokker.config.mistakes import UnknownKey
from fokker.config.option_words import is_group
from fokker.config.trainer_keys import ELSEWHERE

#: The least similarity of a mistyped name to the right one.
NEAR = 0.7
#: Words of other programs, and the keys with the same meaning here.
KEYS_FOR = {
    "bs batch batchsize minibatch train_batch_size global_batch_size": "data.batch_size",
    "learning_rate base_lr lrate step_size": "optimizer.lr",
    "epoch epochs num_epochs n_epochs max_epochs nb_epochs num_train_epochs": (
        "trainer.max_steps? fokker counts optimizer steps, of data.batch_size samples each"
    ),
    "iteration iterations iters max_iter max_iters n_iter num_iterations train_steps total_steps "
    "num_train_steps max_train_steps training_steps train_iters": "trainer.max_steps",
    "steps step n_steps nsteps": "sampler.num_steps, or for the training trainer.max_steps",
    "sampling_steps inference_steps num_inference_steps sample_steps nfe num_sampling_steps": (
        "sampler.num_steps"
    ),
    "t timesteps num_timesteps num_train_timesteps n_timesteps diffusion_steps noise_steps": (
        "formulation=ddpm formulation.num_levels, or for the sampler sampler.num_steps"
    ),
    "model net backbone arch architecture unet score_net": (
        "network=NAME, or checkpoint=PATH for a model that is trained"
    ),
    "ckpt ckpt_path checkpoint_path model_path load load_from pretrained restore": (
        "checkpoint=PATH, or init_from=PATH to train on from its weights"
    ),
    "gpu gpus num_gpus n_gpu ngpu n_gpus ngpus device cuda": (
        "trainer=gpu? Several are trainer=ddp trainer.devices=2, and trainer=cpu is none"
    ),
    "cpu cpus": "trainer=cpu",
    "nodes num_machines nnodes": "trainer.num_nodes",
    "ddp fsdp distributed parallel backend": "trainer=ddp or trainer=fsdp",
    "fp16 bf16 amp half mixed_precision dtype": "trainer.precision",
    "n_samples nsamples samples sample_size num_images n_sample": "evaluation.num_samples",
    "config config_file conf": "experiment=NAME, with --config-dir FOLDER for files of yours",
    "exp exp_config": "experiment=NAME",
    "wandb use_wandb tracker log_to report_to": "logger=wandb",
    "tensorboard tensorboard_logger": "logger=tensorboard",
    "wandb_project project_name": "logger=wandb logger.wandb.project=NAME",
    "name run_name exp_name experiment_name run_id id": (
        "hydra.run.dir=outputs/runs/NAME? A run is named by its folder"
    ),
    "random_seed rng_seed manual_seed rng seed_everything": "seed",
    "seeds num_seeds n_seeds": "fokker -m seed=0,1,2? Several values of a key are a sweep",
    "output out outdir out_dir output_folder save_dir save_path results_dir results logdir "
    "log_dir workdir work_dir exp_dir folder dir": "output_dir",
    "data_dir data_path data_root dataset_path dataset_name file input train_data": (
        "data=points data.path=FILE"
    ),
    "num_workers n_workers nworkers dataloader_workers": "data.workers",
    "wd l2": "optimizer.optimizer.weight_decay",
    "momentum beta1 beta2 adam_betas": "optimizer.optimizer.betas",
    "warmup num_warmup_steps lr_warmup lr_warmup_steps warmup_iters": "optimizer.warmup_steps",
    "lr_scheduler lr_schedule lr_decay": "optimizer.schedule",
    "clip grad_clip clip_grad gradient_clip_val max_norm grad_norm clip_grad_norm": (
        "optimizer.max_grad_norm"
    ),
    "optim opt": "optimizer",
    "ema_decay ema_rate decay use_ema": "ema.half_lives, in samples",
    "hidden hidden_dim hidden_size channels num_channels dim units width_mult d_model": (
        "network.width"
    ),
    "layers num_layers n_layers nlayers num_blocks n_layer": "network.depth",
    "solver integrator method sampling": "sampler",
    "scheduler": "sampler, or for the learning rate optimizer.schedule",
    "noise_schedule beta_schedule diffusion process": "formulation, or the part of it sde",
    "noise sigma_schedule": "noise_levels for the training, or grid for the sampler",
    "timestep_spacing discretization schedule_sampler": "grid",
    "loss loss_type loss_weight loss_weighting": "weighting",
    "prediction_type parameterization pred target predict": "preconditioning",
    "log_every log_interval log_freq log_every_n_steps print_every": "callbacks.log_steps",
    "save_every save_interval save_freq checkpoint_every ckpt_every": "callbacks.save_steps",
    "eval_every eval_interval val_every val_interval val_check_interval eval_freq": (
        "callbacks.validation_steps"
    ),
    "accumulate accumulate_grad_batches gradient_accumulation_steps grad_accum microbatch": (
        "trainer.device_batch_size, the samples at once"
    ),
    "max_samples train_size n_train num_data dataset_size": "data.num_points",
    "figure plot plots visualize": "evaluation.figures",
    "force overwrite": "retrain=true",
    "dry_run dryrun plan": "task=plan",
    "mode stage command action": "task",
}
#: Words of other programs that have no key here, and what to do instead.
SAID_OF = {
    "resume resume_from resume_from_checkpoint continue restart": (
        "the same command goes on by itself where a training was stopped; for more steps of a "
        "model that is trained say continue_from=PATH, and to sample it checkpoint=PATH"
    ),
    "cfg cfg_scale guidance guidance_scale classes num_classes class_cond": (
        "fokker has no classes to guide by; for a file of overrides say experiment=NAME"
    ),
    "delete prune": (
        "it goes with task=runs or task=models; say fokker task=runs delete=[NAME]"
    ),
    "fid eval validate test": (
        "every run is evaluated; what else may be is metrics=NAME and evaluation=likelihood"
    ),
}
WORDS = {
    **{word: f"did you mean {k}{'' if '?' in k else '?'}" for w, k in KEYS_FOR.items()
       for word in w.split()},
    **{word: said for words, said in SAID_OF.items() for word in words.split()},
}  # fmt: skip


def with_hint(error: UnknownKey, config: DictConfig | None, sources: Sequence[object]) -> str:
    """Return the sentence of an unknown key, with a hint at what may have been meant.

    Args:
        error: the error, with the names that are known at the key's place.
        config: the configuration, composed without the key or with it; None if it has other
            mistakes.
        sources: the sources where options are found.
    """
    parent, _, name = error.key.rpartition(".")
    if parent == "trainer" and name in ELSEWHERE:
        return f"{error.key} {error.said}; {ELSEWHERE[name]}"
    if name == "_target_":
        return f"{error.key} {error.said}; say +{error.key}=VALUE to add it"
    part = parent.removeprefix("hydra.")
    if part in PLUGINS:
        return f"{error.key} {error.said} of the {part} that is chosen; choose {PLUGINS[part]}"
    if config is None:
        return str(error)
    if said := _of_others(error.key, config, sources):
        return f"{error.key} {error.said}: {said}"
    hint = _same_name(error.key, config, sources)
    if not hint:
        is_near = bool(get_close_matches(name, error.known, n=1, cutoff=NEAR))
        word = WORDS.get(_plain(name), "")
        # In `data.mode` the word does not count, for the name is near a key of the data. In
        # `sampler.steps` it does, for the word itself names the sampler.
        if word and (not parent or not is_near or f" {parent}." in word):
            hint = word
        elif not is_near:
            hint = _nearly_same(error.key, config, sources)
    # The same key exists, but in an option that is not chosen.
    elsewhere = f"did you mean {error.key}, of "
    if hint.startswith(elsewhere):
        hint = f"it is one of {hint.removeprefix(elsewhere).rstrip('?')}"
    # The key for a word of other programs may be the very one that was typed.
    is_said = hint and not re.match(rf"did you mean {re.escape(error.key)}(?![\w.=])", hint)
    return f"{error.key} {error.said}; {hint}" if is_said else str(error)


def _of_others(key: str, config: DictConfig, sources: Sequence[object]) -> str:
    """Return a sentence if a key belongs to a group that the formulation does not have."""
    parent, _, name = key.rpartition(".")
    listed = name.removesuffix("s") if parent == "evaluation" and name.endswith("s") else ""
    group = listed or (key if not parent else "")
    if not group or group in config or not is_group(sources, group):
        return ""
    node = config.get("hydra")
    chosen = OmegaConf.select(node, "runtime.choices.formulation") if node is not None else None
    which = f"formulation={chosen}" if chosen else "the formulation"
    if listed:
        return f"{which} has chosen no {group}; say {group}=NAME if it takes one, or leave it out"
    return f"{which} has no group {group}; leave it out, or choose a formulation that has it"


def _plain(name: str) -> str:
    return name.replace("-", "_").lower()


def _same_name(key: str, config: DictConfig, sources: Sequence[object]) -> str:
    """Return a hint at keys that have this name elsewhere."""
    parent, _, name = key.rpartition(".")
    own = [leaf for leaf in _leaves(config) if leaf != key]
    exact = [leaf for leaf in own if _plain(leaf.rpartition(".")[2]) == _plain(name)]
    return f"did you mean {_or(exact[:3])}?" if exact else _of_options(name, parent, sources)


def _nearly_same(key: str, config: DictConfig, sources: Sequence[object]) -> str:
    """Return a hint at the key, or the word of other programs, whose name is nearest."""
    name = _plain(key.rpartition(".")[2])
    names = {leaf.rpartition(".")[2] for leaf in _leaves(config) if leaf != key}
    near = get_close_matches(name, sorted({*names, *WORDS} - {name}), n=1, cutoff=NEAR)
    return _same_name(near[0], config, sources) or WORDS.get(near[0], "") if near else ""


def _or(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _leaves(config: DictConfig) -> list[str]:
    """Return all keys with a value, in fokker's groups and at the root."""
    own = [str(key) for key in config if key != "hydra"]
    return list(_below(OmegaConf.to_container(OmegaConf.masked_copy(config, own)), ""))


def _below(node: object, key: str) -> Iterator[str]:
    """Yield the keys with a value in a node, those of `evaluation` last."""
    if not isinstance(node, dict):
        yield key
        return
    for name in sorted(node, key=lambda name: name == "evaluation"):
        if not str(name).startswith("_"):
            yield from _below(node[name], f"{key}.{name}".strip("."))


def _of_options(name: str, parent: str, sources: Sequence[object]) -> str:
    """Return a hint at options, chosen or not, that have a key of this name."""
    found: dict[str, list[str]] = {}
    for place, option, _ in options_with(sources, name):
        found.setdefault(place, []).append(option)
    places = [parent] if parent in found else list(found)
    said = [f"{p}.{name}, of {p.partition('.')[0]}={_or(found[p])}" for p in places]
    return f"did you mean {_or(said)}?" if said else ""
