"""Values that keys may be given by mistake, over all options, and what came of each."""

import copy
import math
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf, open_dict

from fokker.config.build import build_experiment
from fokker.config.choices import Choices
from fokker.config.compose import HELP, composed, config_dir
from fokker.config.early import check_early
from fokker.config.signatures import Signatures
from fokker.experiment import Experiment

#: By name: wrong types, ends of ranges, numbers that are none, and texts that other programs read.
VALUES: dict[str, Any] = {
    "text": "abc", "negative": -1, "negative fraction": -0.5, "zero": 0, "zero fraction": 0.0,
    "nan": math.nan, "inf": math.inf, "minus inf": -math.inf, "huge": 10**20, "large": 10**9,
    "int64": 2**63, "huge fraction": 1e300, "tiny": 1e-300, "fraction": 1.5, "true": True,
    "null": None, "nothing": "", "list": [], "dict": {}, "dict of": {"a": 1}, "nested": [[1]],
    "texts": ["abc"], "numbers": [1, 2], "newline": "a\nb", "quote": "it's", "double": 'a"b',
    "dollar": "$x", "no key": "${nope}", "no variable": "${oc.env:NOPE}", "missing": "???",
}  # fmt: skip
#: The same as the only entry of a list, for keys that take lists.
IN_A_LIST = (
    "negative", "zero", "nan", "inf", "huge", "large", "int64", "huge fraction", "tiny", "fraction",
    "true", "null", "nothing", "text",
)  # fmt: skip
#: Keys of data that are not those of their law.
OF_ALL_DATA = {
    f"data.{key}"
    for key in ("batch_size", "standardize", "sigma_data", "num_points", "workers", "gaussianize",
                "seed")
}  # fmt: skip
LISTS = {"sampler.stds", "data.low", "data.mean", "data.std", "objective"}
#: Whose options are other things than parts: files of overrides.
NO_PARTS = ("hydra", "experiment", "sweeps")
SHORT = (
    "trainer.max_steps=2", "network.width=16", "network.depth=1", "evaluation.num_samples=32",
    "sampler.num_steps=3",
)  # fmt: skip
LEVELS = ("formulation=ddpm", "formulation.num_levels=40")
#: What an option needs besides itself.
NEEDS = {
    "data=points": ("data.path=points.npy",),
    "noise_levels=levels": LEVELS,
    "grid=levels": LEVELS,
    "formulation=ddpm": LEVELS[1:],
    "sampler=annealed_langevin": ("formulation=smld",),
    "weighting=elbo": ("formulation=vp_sde",),
}
#: Of a sampler or a chain that has no number of steps to be set, or no other than its own.
OWN_STEPS = ("sampler=ode_adaptive", "sampler=annealed_langevin", "formulation=smld")


@dataclass(frozen=True)
class Case:
    """A key of an option, and a value that it is given."""

    option: str
    key: str
    kind: str
    value: Any

    def __str__(self) -> str:
        return f"{self.option or 'defaults'} {self.key}={self.kind}"


#: Options whose files begin with others, so that they have to be composed.
BUILT_ON_OTHERS = ("weighting=learned", "metrics=default")


class Harness:
    """Gives values to keys of composed configurations, and says what is wrong with what came.

    Args:
        folder: the current one, in which nothing may be written; it gets a file of points.
    """

    def __init__(self, folder: Path) -> None:
        np.save(folder / "points.npy", np.random.default_rng(0).normal(size=(50, 2)))
        self.folder, self._read = folder, Signatures()
        self._known: dict[str, tuple[DictConfig, Choices]] = {}
        self._bases: dict[tuple[str, ...], tuple[DictConfig, Choices]] = {}

    def composed(self, option: str) -> tuple[DictConfig, Choices]:
        """The configuration of a short run with an option."""
        if option not in self._known:
            self._known[option] = self._with(option)
        return self._known[option]

    def _with(self, option: str) -> tuple[DictConfig, Choices]:
        group, _, name = option.partition("=")
        is_whole = group in ("", "formulation") or option in BUILT_ON_OTHERS
        plain, choices = self._by(*words(option if is_whole else "", NEEDS.get(option, ())))
        if not is_whole:
            choices = replace(choices, options={**choices.options, group: name})
        if not is_whole:  # What composing would give, in a hundredth of the time.
            node = OmegaConf.load(config_dir() / group / f"{name}.yaml")
            plain = copy.deepcopy(plain)
            with open_dict(plain):
                plain[group] = OmegaConf.merge(plain[group] if group == "evaluation" else {}, node)
                for word in NEEDS.get(option, ()):
                    if word.startswith(f"{group}."):
                        OmegaConf.update(plain, *word.split("=", 1))
        return plain, choices

    def _by(self, *typed: str) -> tuple[DictConfig, Choices]:
        """The configuration by overrides, composed once."""
        if typed not in self._bases:
            with composed(typed) as config:
                runtime = config.hydra.runtime
                choices = Choices(dict(runtime.choices), runtime.config_sources, [])
                plain = OmegaConf.masked_copy(config, [str(k) for k in config if k != "hydra"])
            self._bases[typed] = plain, choices
        return self._bases[typed]

    def cases(self) -> Iterator[Case]:
        """Every key of every option, once with every value: the same key of a class once."""
        seen = set()
        for option in ("", *options()):
            whole, group = self.composed(option)[0], option.partition("=")[0]
            config: Any = OmegaConf.to_container(OmegaConf.masked_copy(whole, group or [*whole]))
            for key, now in keys_of(option, config):
                parent = config
                for part in key.split(".")[:-1]:
                    parent = parent[part]
                law = str((parent.get("distribution") or {}).get("_target_"))
                own = law if option.startswith("data=") and key not in OF_ALL_DATA else ""
                same = (str(parent.get("_target_")), key, own)
                if same in seen:
                    continue
                seen.add(same)
                yield from (Case(option, key, kind, value) for kind, value in VALUES.items())
                if isinstance(now, list) or key in LISTS:
                    for kind in IN_A_LIST:
                        yield Case(option, key, f"[{kind}]", [VALUES[kind]])

    def built(self, case: Case) -> Experiment:
        """The experiment with the value, checked as a run checks it."""
        config, choices = self.composed(case.option)
        config = copy.deepcopy(config)
        with open_dict(config):
            OmegaConf.update(config, case.key, case.value, merge=False, force_add=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_early(config, choices.sources, self._read)
            return build_experiment(config, choices)

    def outcome(self, case: Case) -> str:
        """`accepted`, the sentence by which it is refused, or what is wrong behind `FAULT`."""
        before = sorted(os.listdir(self.folder))
        try:
            self.built(case)
            found = "accepted"
        except ValueError as error:
            found = str(error)
        except Exception as error:
            return f"FAULT {type(error).__name__}: {error}"
        if sorted(os.listdir(self.folder)) != before:
            return f"FAULT written: {os.listdir(self.folder)}"
        return found if found == "accepted" else said_well(found, case.key)


def said_well(text: str, key: str) -> str:
    """A sentence as it is if it is one and names the key, else what is wrong with it."""
    line = text.replace(f"\n{HELP}", "")
    first, name = key.partition(".")[0], key.rpartition(".")[2]
    # `grid.sigma_min must be below sigma_max=2` names both; `data must vary` all that data have.
    is_beside = bool(re.search(rf"(\.{name}\b|\b{name}=)", line)) and first in line
    if "\n" in line:
        return f"FAULT several lines: {text}"
    if "cannot be built" in line or "does not: " in line:
        return f"FAULT said by a library: {text}"
    is_named = key in line or is_beside or line.startswith(f"{first} must")
    return text if is_named else f"FAULT nameless: {text}"


def words(option: str, needs: tuple[str, ...]) -> list[str]:
    """The overrides of a short run with an option."""
    is_own = option in OWN_STEPS or any(need in OWN_STEPS for need in needs)
    short = [word for word in SHORT if not is_own or not word.startswith("sampler")]
    data = [need for need in needs if need.startswith("formulation")]
    return ["data=uniform", *data, *([option] if option else []), *short]


def options() -> Iterator[str]:
    for folder in sorted(config_dir().iterdir()):
        if folder.is_dir() and folder.name not in NO_PARTS:
            for file in sorted(folder.glob("*.yaml")):
                # One needs a class of the user's own; others are a trainer with other values.
                if file.stem != "dataset" and (folder.name != "trainer" or file.stem == "auto"):
                    yield f"{folder.name}={file.stem}"


def keys_of(option: str, config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The keys below an option, or those of the root and of every evaluation, with their values."""
    group, _, name = option.partition("=")
    if not option:
        yield from ((key, now) for key, now in config.items() if not isinstance(now, dict))
        yield from _leaves(config["evaluation"], "evaluation")
    elif group in ("evaluation", "logger"):
        yield from _leaves(config[group][name], f"{group}.{name}")
    else:
        yield from _leaves(config[group], group)


def _leaves(node: dict[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if name not in ("_target_", "_partial_"):
            yield f"{above}.{name}", value
            if isinstance(value, dict):
                yield from _leaves(value, f"{above}.{name}")
