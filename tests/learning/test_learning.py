"""What a trained model reaches, beside what the ideal denoiser reaches in its place."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

import fokker
from fokker.cli.build import build_experiment
from fokker.cli.compose import composed
from fokker.cli.evaluations import Choices
from fokker.distributions import Affine
from fokker.experiment.sample import draw_samples
from fokker.metrics import Wasserstein1

SMALL = ["network.width=128", "sampler.num_steps=100"]


class Ideal(nn.Module):
    """The ideal denoiser in place of a learned one."""

    def __init__(self, denoise: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self._denoise, self.evaluations = denoise, 0

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        return self._denoise(x, sigma).to(x)


def ideal_w1(overrides: list[str], count: int) -> float:
    """W1 of samples by the same sampler, grid, N and start noise with the exact denoiser."""
    with composed(overrides) as config:
        settings = config.hydra.runtime
        choices = Choices(dict(settings.choices), settings.config_sources, overrides)
        plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        experiment = build_experiment(plain, choices)
    model = experiment.model
    law = Affine(model.data.distribution, model.data.shift, model.data.scale)
    model.denoiser = Ideal(law.denoise)
    samples = draw_samples(model, experiment.samplings[0], count, experiment.seed)
    metric = Wasserstein1(model.data.reference(count))
    metric.update(samples.points)
    return float(metric.compute())


@pytest.mark.parametrize("formulation", ["ddpm", "smld", "vp_sde", "edm"])
def test_uniform_is_learned(formulation: str, workdir: Path) -> None:
    overrides = [f"formulation={formulation}", "data=uniform", "trainer.max_steps=2500", *SMALL]
    started = time.process_time()
    result = fokker.run(overrides)
    assert time.process_time() - started < 60
    excess = result.metrics["w1"] - ideal_w1(overrides, 10_000)
    assert excess <= 0.005
    if formulation == "edm":
        assert result.metrics["w1"] < 0.01


def test_all_modes_of_the_ring_are_found(workdir: Path) -> None:
    result = fokker.run(["data=ring8", "network.width=128", "trainer.max_steps=2500"])
    angles = torch.atan2(result.samples[:, 1], result.samples[:, 0])
    mode = torch.round(angles / (torch.pi / 4)).long() % 8
    share = torch.bincount(mode, minlength=8) / len(mode)
    assert 0.08 <= share.min()
    assert share.max() <= 0.17


def test_the_default_run_draws_digits_of_its_own(workdir: Path) -> None:
    result = fokker.run([])
    assert result.samples.shape == (10_000, 1, 8, 8)
    assert result.metrics["nearest_neighbour_ratio"] >= 1.0
    # Held-out digits themselves are this far from other held-out digits' law.
    assert result.metrics["sliced_w2"] < 0.6
    assert len(list((result.path / "figures").glob("*.png"))) == 3
