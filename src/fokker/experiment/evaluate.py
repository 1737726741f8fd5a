"""What is measured on a model and on its samples."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from fokker.data import DataModule
from fokker.formulations import Diffusion
from fokker.metrics import (
    DenoisingError,
    EnergyDistance,
    NearestNeighbourRatio,
    SlicedWasserstein2,
    Wasserstein1,
)
from fokker.randomness import Randomness

#: The noise levels at which every model is validated, in standardised units.
SIGMAS = torch.logspace(-2.69897, 1.90309, 16, dtype=torch.float64)  # 0.002 to 80
VALIDATION_POINTS = 512
LOSS_POINTS = 2048
# One seed for all runs, so that they are compared on the same (x0, sigma, n).
VALIDATION = Randomness(0)


@torch.no_grad()
def denoising_errors(model: Diffusion) -> Tensor:
    """`E|D - x0|^2 / d` at each of SIGMAS on a fixed set of (x0, sigma, n), (16,)."""
    points = model.data.to_model(model.data.held_out(VALIDATION_POINTS)).to(model.device)
    metric = DenoisingError(SIGMAS)
    for index, sigma in enumerate(SIGMAS):
        start = index * VALIDATION_POINTS
        noise = VALIDATION.normal("validation", start, start + len(points), model.data.shape)
        errors = model.denoising_error(points, sigma.expand(len(points)), noise.to(points))
        metric.update(errors.cpu(), torch.full((len(points),), index))
    return metric.compute()


def is_trained(model: Diffusion) -> Tensor:
    """Which of SIGMAS lie where the model was trained, (16,)."""
    low, high = model.noise_levels.usual_range
    return (low / 1.1 <= SIGMAS) & (high * 1.1 >= SIGMAS)


def mean_error(model: Diffusion, errors: Tensor) -> float:
    """The mean of the errors at those of SIGMAS where the model was trained."""
    return float(errors[is_trained(model)].mean())


@torch.no_grad()
def held_out_loss(model: Diffusion) -> float:
    """The formulation's own loss on held-out data, at evenly spread quantiles of its noise."""
    points = model.data.to_model(model.data.held_out(LOSS_POINTS)).to(model.device)
    points = points[torch.arange(LOSS_POINTS, device=model.device) % len(points)]
    order = VALIDATION.permutation("sigma", LOSS_POINTS)
    sigma = model.noise_levels.sigma((order.double() + 0.5) / LOSS_POINTS).to(model.device)
    noise = VALIDATION.normal("validation", 0, LOSS_POINTS, model.data.shape, step=1)
    return float(model.loss(points, sigma, noise.to(points)).mean())


def validate(model: Diffusion) -> dict[str, float | list[float]]:
    """The averaged weights on held-out data: their loss, and the denoising error at each level."""
    live = {k: w.detach().clone() for k, w in model.denoiser.named_parameters()}
    averaged = model.weights("ema")
    try:
        set_weights(model.denoiser, averaged)
        errors, loss = denoising_errors(model), held_out_loss(model)
    finally:
        set_weights(model.denoiser, live)
    return {
        "held_out_loss": loss,
        "denoising_error": mean_error(model, errors),
        "denoising_errors": errors.tolist(),
    }


@torch.no_grad()
def set_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a module by name."""
    for name, parameter in module.named_parameters():
        parameter.copy_(weights[name])


@final
@dataclass(frozen=True)
class SampleMetrics:
    """The metrics of samples, with all that depends on the data alone computed once."""

    distances: dict[str, Metric]

    @classmethod
    def of(cls, data: DataModule, num_samples: int) -> "SampleMetrics":
        """Those that fit the data: w1 in one dimension, memorisation for finite sets."""
        reference = data.reference(num_samples).flatten(1)
        distances: dict[str, Metric] = {
            "sliced_w2": SlicedWasserstein2(reference),
            "energy_distance": EnergyDistance(reference),
        }
        if reference.shape[1] == 1:
            distances = {"w1": Wasserstein1(reference), **distances}
        training = data.training_points()
        if training is not None:
            held_out = data.held_out(num_samples).flatten(1)
            distances["nearest_neighbour_ratio"] = NearestNeighbourRatio(
                training.flatten(1), held_out
            )
        return cls(distances)

    def __call__(self, samples: Tensor) -> dict[str, float]:
        """Every metric of samples in the data's units, (n, *shape)."""
        results = {}
        for name, metric in self.distances.items():
            metric.reset()
            metric.update(samples.flatten(1))
            results[name] = float(metric.compute())
        return results
