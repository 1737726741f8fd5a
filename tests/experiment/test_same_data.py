"""What says that two runs have the same data, held against the points themselves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

import tiny_runs
from fokker.config.compose import composed
from fokker.store.same_data import what_data

pytestmark = pytest.mark.usefixtures("workdir")
FILE = ("data=points", "data.path=points.npy")
RING = ("data=ring8", "seed=0")


def points_and_words(*overrides: str) -> tuple[list[Tensor], dict[str, Any]]:
    """All points without their order, or some of their law, and what says which they are."""
    typed = ["network=exact", *overrides]
    experiment = tiny_runs.compose_experiment(*typed)
    with composed(tiny_runs.tiny(*typed)) as config:
        data: Any = {"data": OmegaConf.to_container(config.data, resolve=True)}
    content = experiment.model.data.content
    made = experiment.model.data
    trained = made.training_points()
    if trained is None:
        assert made.law is not None
        trained = made.law.log_prob(made.held_out(50).x.flatten(1))[:, None]
    order = np.lexsort(trained.flatten(1).numpy().T)
    return [trained[order.copy()], made.held_out(20).x], what_data(data, ["data"], content)


@pytest.mark.parametrize(
    ("one", "change", "is_same"),
    [
        (RING, "data.seed=3", True),
        ((*RING, "data.num_points=50"), "data.seed=3", False),
        ((*RING, "data.num_points=50"), "data.batch_size=8", True),
        ((*RING, "data.num_points=50"), "data.num_points=60", False),
        (RING, "data.num_points=50", False),
        (RING, "data.workers=1", True),
        (RING, "data.radius=2", False),
        (("data=digits",), "data.seed=3", True),
        (("data=digits",), "data.workers=1", True),
        (("data=digits",), "data.held_out_share=0.3", False),
        (FILE, "data.seed=3", True),
        (FILE, "data.in_memory=true", True),
        (FILE, "data.workers=1", True),
        (FILE, "data.path=copy.npy", True),
        (FILE, "data.path=other.npy", False),
    ],
)
def test_runs_have_the_same_data_where_the_points_are_the_same(
    one: tuple[str, ...], change: str, is_same: bool
) -> None:
    numbers = np.random.default_rng(0).normal(3.0, 2.0, (40, 2))
    for name, shift in (("points", 0.0), ("copy", 0.0), ("other", 1.0)):
        np.save(Path(f"{name}.npy"), numbers + shift)
    (there, words), (here, others) = points_and_words(*one), points_and_words(*one, change)
    equal = all(
        a.shape == b.shape and torch.allclose(a, b) for a, b in zip(there, here, strict=True)
    )
    assert equal == is_same
    assert (words == others) == is_same
