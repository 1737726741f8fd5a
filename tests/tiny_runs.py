"""Runs of a few steps with the real configuration: composed, trained, run, compared."""


import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from omegaconf import OmegaConf
from torch import Tensor

import fokker
from children import Child
from fokker.cli.main import main
from fokker.config.build import build_experiment
from fokker.config.choices import Choices
from fokker.config.compose import composed
from fokker.experiment import Experiment, Result
from fokker.levels import Table
from fokker.machine.signals import Signals
from fokker.store.levels import read_levels
from fokker.store.models import ModelFolder
from fokker.training import Training
from fokker.training.fit import obtain

TINY = (
    "data=uniform",
    "trainer.max_steps=20",
    "network.width=16",
    "network.depth=1",
    "evaluation.num_samples=100",
    "callbacks.log_steps=5",
)


def tiny(*overrides: str) -> list[str]:
    """The tiny job with these changes; network=exact has no width."""
    has_network = not any(o == "network=exact" or o.startswith("experiment=") for o in overrides)
    return [*(o for o in TINY if has_network or not o.startswith("network.")), *overrides]


def compose_experiment(*overrides: str) -> Experiment:
    """The experiment of the tiny job with these changes, as built, with nothing done."""
    typed = tiny(*overrides)
    with composed(typed) as config:
        runtime = config.hydra.runtime
        choices = Choices(dict(runtime.choices), runtime.config_sources, typed)
        plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        return build_experiment(plain, choices)


def train(
    *overrides: str, listener: Callable[[dict[str, Any], int], None] = lambda *_: None
) -> tuple[Training, ModelFolder]:
    """The training alone, by the function that a run trains with."""
    return train_it(compose_experiment(*overrides), listener)


def train_it(
    made: Experiment, listener: Callable[[dict[str, Any], int], None] = lambda *_: None
) -> tuple[Training, ModelFolder]:
    signals = Signals()
    with signals.heard():
        obtain(made.task, listener, lambda text: None, signals)
    return made.task.training, made.task.folder


def levels(path: Path) -> Table:
    """The losses over the levels of a run."""
    table = read_levels(path)
    assert table is not None
    return table


def run(*overrides: str) -> Result:
    """The tiny job with these changes, without its figures, which take ten times as long."""
    # The name fokker.experiment.run is the function's, so the module is not found by its path.
    with mock.patch.object(sys.modules["fokker.experiment.run"], "draw_figures"):
        return fokker.run(tiny(*overrides))


def process(folder: Path, *overrides: str, before: str = "") -> Child:
    """The command `fokker` as a process of its own in `folder`, with lines of Python before it."""
    return Child(_command, before, *TINY, *overrides, folder=folder, env=dict(os.environ))


def _command(before: str, *overrides: str) -> None:
    sys.argv = ["fokker", *overrides]
    sys.modules["fokker.experiment.run"].draw_figures = lambda *_: None  # type: ignore[attr-defined]
    exec(before, {"sys": sys})
    main()


def only_model(outputs: str | Path = "outputs") -> ModelFolder:
    """The one model below an output folder."""
    (path,) = (p for p in Path(outputs, "models").iterdir() if p.is_dir())
    return ModelFolder(path)


def checkpoint(folder: ModelFolder) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder.checkpoint, weights_only=True)
    return content


def flat(node: Any, key: str = "") -> dict[str, Any]:
    """Nested dicts and lists as one dict of leaves."""
    if isinstance(node, (dict, list, tuple)):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        return {k: v for name, sub in items for k, v in flat(sub, f"{key}/{name}").items()}
    return {key: node}


def trained_state(folder: ModelFolder) -> dict[str, Any]:
    """Everything that training has made: weights, averages, the optimizer's state, the curves."""
    content = checkpoint(folder)
    kept = {name: content[name] for name in ("state_dict", "ema", "optimizer_states")}
    return {**flat(kept), "step": content["global_step"], "curves": folder.curves.read_text()}


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The names of what is not equal to the bit in two states."""
    names = sorted(one.keys() | other.keys())
    return [name for name in names if not same(one.get(name), other.get(name))]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return type(one) is type(other) and bool(one == other)


def all_finite(state: dict[str, Any]) -> bool:
    return all(bool(torch.isfinite(v).all()) for v in state.values() if isinstance(v, Tensor))
