"""What a trained model reaches, beside what the ideal denoiser reaches in its place."""

import time
from pathlib import Path

import pytest
import torch

import fokker

BARE = ("evaluation.figures=false", "evaluation.budget_points=0")


@pytest.mark.thorough
@pytest.mark.one_in(4)
@pytest.mark.parametrize("formulation", ["ddpm", "smld", "vp_sde", "edm"])
def test_uniform_is_learned(formulation: str, workdir: Path) -> None:
    job = [f"formulation={formulation}", "data=uniform", "sampler.num_steps=100", *BARE]
    started = time.process_time()
    learned = fokker.run(job).metrics["w1"]
    assert time.process_time() - started < 60
    # The same sampler, grid, N and start noise.
    ideal = fokker.run([*job, "network=exact"]).metrics["w1"]
    assert learned - ideal <= 0.005
    if formulation == "edm":
        assert learned < 0.01


@pytest.mark.long
def test_all_modes_of_the_ring_are_found(workdir: Path) -> None:
    result = fokker.run(["data=ring8", "network.width=128", *BARE])
    angles = torch.atan2(result.samples[:, 1], result.samples[:, 0])
    mode = torch.round(angles / (torch.pi / 4)).long() % 8
    share = torch.bincount(mode, minlength=8) / len(mode)
    assert 0.08 <= share.min()
    assert share.max() <= 0.17


@pytest.mark.thorough
def test_the_default_run_draws_digits_of_its_own(workdir: Path) -> None:
    result = fokker.run([])
    assert result.samples.shape == (10_000, 1, 8, 8)
    assert result.metrics["nearest_neighbour_ratio"] >= 1.0
    # Held-out digits themselves are this far from other held-out digits' law.
    assert result.metrics["sliced_w2"] < 0.6
    assert len(list((result.path / "figures").glob("*.png"))) == 4
