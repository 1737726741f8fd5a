"""Options in combinations that nobody has thought of: each works, or is refused by name."""

import random
import re
import warnings
from functools import cache
from pathlib import Path

import pytest
import torch

import tiny_runs
from fokker.config.compose import config_dir

COUNT = 500
GROUPS = (
    "sde", "preconditioning", "weighting", "noise_levels", "sampler", "grid", "data", "network",
    "optimizer", "ema", "evaluation",
)  # fmt: skip
#: Values of keys, good ones and bad ones.
KEYS = {
    "sampler.num_steps": ("1", "2", "7", "0", "-3", "2.5", "null"),
    "data.batch_size": ("1", "5", "64", "0"),
    "data.standardize": ("true", "false"),
    "data.sigma_data": ("null", "1.0", "3.0", "0", "-1"),
    "network.width": ("8", "0", "x"),
    "optimizer.lr": ("1e-3", "0", "nan"),
    "optimizer.max_grad_norm": ("null", "0.1", "-1"),
    "optimizer.schedule": ("cosine", "constant", "linear"),
    "ema.half_lives": ("[100]", "[50,5000]", "[]", "[0]"),
    "ema.rampup": ("null", "0.1", "-0.1"),
    "noise_levels.stratified": ("true", "false"),
    "evaluation.weights": ("ema", "raw", "best"),
    "evaluation.num_samples": ("1", "33", "0"),
    "evaluation.num_steps": ("[2,3]", "[0]"),
    "evaluation.noise": ("random", "quantiles", "odd"),
    "trainer.precision": ("32-true", "bf16-mixed", "64-true"),
    "trainer.device_batch_size": ("null", "16", "0"),
    "grid.sigma_max": ("1.0", "100.0", "-1"),
    "grid.sigma_min": ("0.01", "0", "200"),
    "seed": ("1", "-5", "x"),
}


@cache
def names(group: str) -> list[str]:
    return sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))


def combination(number: int) -> list[str]:
    """A formulation with a few other options and a few values."""
    chance = random.Random(number)
    chosen = [f"formulation={chance.choice(names('formulation'))}"]
    for group in chance.sample(GROUPS, chance.randint(1, 5)):
        chosen.append(f"{group}={chance.choice(names(group))}")
    for key in chance.sample(sorted(KEYS), chance.randint(0, 2)):
        chosen.append(f"{key}={chance.choice(KEYS[key])}")
    return chosen


def names_a_key(message: str, overrides: list[str]) -> bool:
    """Whether a message names a key that was typed, or a key or option of the project's."""
    typed = any(re.search(rf"(?<![\w.]){re.escape(o)}(?!\w)", message) for o in overrides)
    keys = [o.partition("=")[0] for o in overrides if "." in o.partition("=")[0] or o[:4] == "seed"]
    own = rf"(?<![\w.])(?:{'|'.join((*GROUPS, 'formulation', 'trainer'))})(?:=\w|\.\w)"
    return typed or any(key in message for key in keys) or bool(re.search(own, message))


@pytest.mark.thorough
@pytest.mark.parametrize("part", range(20))
def test_combinations_work_or_are_refused_by_name(part: int, workdir: Path) -> None:
    said: list[str] = []
    each = COUNT // 20
    for number in range(part * each, (part + 1) * each):
        overrides = combination(number)
        text = f"combination {number}: {' '.join(overrides)}"
        job = [
            "trainer.max_steps=2", "evaluation.figures=false", "evaluation.num_samples=16",
            "evaluation.budget_points=20", "sampler.num_steps=3", *overrides,
        ]  # fmt: skip
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = tiny_runs.run(*job)
        except ValueError as error:
            said.append(str(error))
            if not names_a_key(said[-1], overrides):
                pytest.fail(f"{text} says {error}")
        except Exception as error:
            pytest.fail(f"{text} ends with {type(error).__name__}: {error}")
        else:
            assert torch.isfinite(result.samples).all(), text
    assert 0 < len(said) < each, said
