"""Every key of lightning's trainer does what it says, or names the key that does."""

import inspect
import re
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

import tiny_runs
from fokker.config.compose import composed
from fokker.config.mistakes import UnknownKey
from fokker.config.names import with_hint
from fokker.config.trainer_keys import ELSEWHERE
from fokker.training import Training
from fokker.training.engine import Engine

OWN = {*inspect.signature(Engine).parameters}


def test_each_key_of_lightning_is_known() -> None:
    known = {*inspect.signature(L.Trainer).parameters}
    assert known == {*ELSEWHERE} | (OWN - {"device_batch_size", "compile"})
    assert not {*ELSEWHERE} & OWN


def test_a_key_that_is_not_taken_names_one_that_is() -> None:
    with composed(["data=uniform"]) as config:
        for key in ELSEWHERE:
            said = with_hint(UnknownKey(f"trainer.{key}", "is not a key", []), None, [])
            assert re.match(f"trainer.{key} is not a key; .*[a-z]", said), said
            for word in said.split()[5:]:
                group, _, name = word.strip(",;").partition("=")[0].partition(".")
                if name and group in config and group != "logger":
                    assert name in config[group], word


def test_it_is_said_with_a_plus_and_without() -> None:
    for typed in ("trainer.max_epochs=3", "+trainer.max_epochs=3"):
        sentence = r"trainer\.max_epochs is not .*; use trainer\.max_steps"
        with pytest.raises(ValueError, match=sentence):
            tiny_runs.compose_experiment(typed)
    with pytest.raises(ValueError, match=r"trainer\.max_stps is not a key; did you mean max_steps"):
        tiny_runs.compose_experiment("trainer.max_stps=3")


def test_flags_hold_in_the_training_and_end_with_it(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, ...]] = []

    def flags() -> tuple[bool, ...]:
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.backends.cudnn.benchmark,
            torch.is_anomaly_enabled(),
        )

    step = Training.training_step

    def noted(self: Training, block: tuple[int, int], batch_idx: int) -> Any:
        seen.append(flags())
        return step(self, block, batch_idx)

    monkeypatch.setattr(Training, "training_step", noted)
    before = flags()
    tiny_runs.train(
        "trainer.deterministic=warn", "trainer.benchmark=true", "trainer.detect_anomaly=true",
        "trainer.max_steps=1",
    )  # fmt: skip
    assert seen == [(True, True, True, True)]
    assert flags() == before == (False, False, False, False)
