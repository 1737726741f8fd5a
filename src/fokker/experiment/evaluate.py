"""What is measured on a model and on its samples."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast, final

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from fokker.analysis.floors import Floors
from fokker.data import DataModule, StandardizedData
from fokker.device import moved
from fokker.disk import DamagedError
from fokker.formulations import Diffusion
from fokker.metrics import (
    DenoisingError,
    EnergyDistance,
    NearestNeighbourRatio,
    RepeatedPointsError,
    SlicedWasserstein2,
    Wasserstein1,
)
from fokker.metrics.blocks import MIN_SAMPLES, OnParts
from fokker.randomness import Randomness
from fokker.ranks import ALONE, Ranks
from fokker.records import read_record
from fokker.signals import SIGNALS
from fokker.training import Training

#: The noise levels at which every model is validated, in standardised units.
SIGMAS = torch.logspace(-2.69897, 1.90309, 16, dtype=torch.float64)  # 0.002 to 80
VALIDATION_POINTS = 512
LOSS_POINTS = 2048
# One seed for all runs, so that they are compared on the same (x0, sigma, n).
VALIDATION = Randomness(0)


#: Behind the name of a distance: what it is for points of the data themselves.
OF_DATA = "_data"

M = TypeVar("M", bound=Metric)


def alone(metric: M) -> M:
    """A metric that does not ask other ranks for theirs, who may not be measuring."""
    metric.distributed_available_fn = _nobody_else
    return metric


def _nobody_else() -> bool:
    return False


@torch.no_grad()
def denoising_errors(model: Diffusion, ranks: Ranks = ALONE) -> Tensor:
    """`E|D - x0|^2 / d` at each of SIGMAS on a fixed set of (x0, sigma, n), (16,).

    Each rank has a share of the points, so that each point counts once.
    """
    whole = model.data.to_model(model.data.held_out(VALIDATION_POINTS).x)
    share = ranks.share(len(whole))
    points = whole[share.start : share.stop].to(model.device)
    metric = alone(DenoisingError(SIGMAS))
    for index, sigma in enumerate(SIGMAS):
        SIGNALS.ask()
        start = index * VALIDATION_POINTS + share.start
        noise = VALIDATION.normal("validation", start, start + len(points), model.data.shape)
        noise = moved(noise, model.device)
        errors = model.denoising_error(points, sigma.expand(len(points)), noise)
        metric.update(errors.cpu(), torch.full((len(points),), index))
    metric.error_sum, metric.count = ranks.total(metric.error_sum), ranks.total(metric.count)
    return metric.compute()


def is_trained(usual_range: tuple[float, float]) -> Tensor:
    """Which of SIGMAS lie where a model was trained, (16,)."""
    low, high = usual_range
    return (low / 1.1 <= SIGMAS) & (high * 1.1 >= SIGMAS)


def mean_error(model: Diffusion, errors: Tensor) -> float:
    """The mean of the errors at those of SIGMAS where the model was trained."""
    return float(errors[is_trained(model.usual_range)].mean())


@torch.no_grad()
def held_out_loss(model: Diffusion, ranks: Ranks = ALONE) -> float:
    """The formulation's own loss on held-out data, at evenly spread quantiles of its noise."""
    share = ranks.share(LOSS_POINTS)
    rows = torch.arange(share.start, share.stop)
    whole = model.data.to_model(model.data.held_out(LOSS_POINTS).x)
    points = whole[rows % len(whole)].to(model.device)
    order = VALIDATION.permutation("sigma", LOSS_POINTS)[rows]
    sigma = model.noise_levels.sigma((order.double() + 0.5) / LOSS_POINTS)
    noise = VALIDATION.normal("validation", share.start, share.stop, model.data.shape, step=1)
    losses = model.loss(points, sigma, moved(noise, model.device))
    return float(ranks.total(losses.double().sum())) / LOSS_POINTS


#: What an entry of a list over SIGMAS is called in metrics.json, with @ and its sigma.
SINGULAR = {
    "denoising_errors": "denoising_error",
    "losses": "loss",
    "floors": "floor",
    "excesses": "excess",
}


def flat(losses: Mapping[str, Any]) -> dict[str, float]:
    """Losses as single numbers, a list over SIGMAS as `floor@0.002` and so on."""
    single: dict[str, float] = {k: v for k, v in losses.items() if k not in SINGULAR}
    for name, singular in SINGULAR.items():
        for sigma, value in zip(SIGMAS.tolist(), losses.get(name, ()), strict=False):
            single[f"{singular}@{sigma:.4g}"] = value
    return single


def where_trained(losses: Mapping[str, Any], usual_range: tuple[float, float]) -> dict[str, Any]:
    """The lists over SIGMAS; a model's own have NaN where it was not trained."""
    trained = is_trained(usual_range).tolist()
    return {
        name: [
            v if good or name == "floors" else math.nan
            for v, good in zip(losses[name], trained, strict=True)
        ]
        for name in SINGULAR
        if name in losses
    }


def losses_of(run: Path) -> dict[str, Any]:
    """The lists over SIGMAS of a finished run, from its record, where it was trained."""
    metrics = read_record(run / "metrics.json")
    trained = read_record(run / "run.json").get("trained") or (0.0, math.inf)
    found = {}
    for name, one in SINGULAR.items():
        if any(key.startswith(f"{one}@") for key in metrics):
            keys = [f"{one}@{sigma:.4g}" for sigma in SIGMAS.tolist()]
            if lost := [key for key in keys if metrics.get(key) is None]:
                raise DamagedError(run / "metrics.json", f"{lost[0]} is missing")
            found[name] = [metrics[key] for key in keys]
    return where_trained(found, tuple(trained))


@final
class Validation:
    """What a model's losses are on held-out data, and on data of the law that it is trained on.

    On the latter every loss is `floor + excess`: what no denoiser can avoid, and what is left to
    learn. `loss`, `floor` and `excess` are the formulation's own, over its own training noise;
    those at each level are `E|D - x0|^2 / d`, by which formulations compare, and of which
    `relative_excess` is the mean of excess/floor. Where data are fresh the two laws are one; of a
    finite set the floor is what would be left if it were memorised.

    Args:
        data: of known or unknown law.
        ranks: the processes that measure together, each on its share of the points.
    """

    def __init__(self, data: StandardizedData, ranks: Ranks = ALONE) -> None:
        law = data.model_law
        self._ranks = ranks
        self._floors = None if law is None else Floors(law, SIGMAS, ranks)

    def floor(self, model: Diffusion) -> float | None:
        """The irreducible part of the formulation's own loss."""
        if self._floors is None:
            return None
        with as_in_use(model):
            return self._floors.total(model).value

    def __call__(self, model: Diffusion) -> dict[str, Any]:
        """Numbers by name, and lists over SIGMAS, of the model as it is in use."""
        with as_in_use(model):
            return self._measured(model)

    def _measured(self, model: Diffusion) -> dict[str, Any]:
        errors = denoising_errors(model, self._ranks)
        result: dict[str, Any] = {"held_out_loss": held_out_loss(model, self._ranks)}
        result["denoising_error"] = mean_error(model, errors)
        result["denoising_errors"] = errors.tolist()
        if self._floors is not None:
            floor, excess = self._floors.total(model), self._floors.excess(model)
            result.update(loss=floor.value + excess.total, floor=floor.value, excess=excess.total)
            if floor.standard_error > 0:
                result["floor_standard_error"] = floor.standard_error
            levels = self._floors.levels
            if model.data.fresh:  # That of a finite set is 0 at low noise.
                shares = (excess.levels / levels)[is_trained(model.usual_range)]
                result["relative_excess"] = float(shares.mean())
            result["losses"] = (levels + excess.levels).tolist()
            result["floors"] = levels.tolist()
            result["excesses"] = excess.levels.tolist()
        return result

    def of_average(self, training: Training) -> dict[str, Any]:
        """The same of the averaged weights in the middle of a training, the excess as `ema_excess`.

        `loss`, `floor` and `excess` are there those of the training batches. Buffers, such as the
        running statistics of batch norm, are those of the training, and stay as they are.
        """
        training.share_buffers()
        model = cast(Diffusion, training.formulation)
        live = {k: w.detach().clone() for k, w in model.network.named_parameters()}
        averaged = training.weights("ema")
        try:
            set_weights(model.network, averaged)
            result = self(model)
        finally:
            set_weights(model.network, live)
        if "excess" in result:
            result["ema_excess"] = result["excess"]
        return {k: v for k, v in result.items() if k not in ("loss", "floor", "excess")}


@contextmanager
def as_in_use(module: nn.Module) -> Iterator[None]:
    """Let all parts of a module be in evaluation mode, each of them as it was afterwards.

    Dropout then draws nothing, and batch norm takes its running statistics and keeps them.
    """
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@torch.no_grad()
def set_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a module by name."""
    for name, parameter in module.named_parameters():
        parameter.copy_(weights[name])


Distance = Wasserstein1 | SlicedWasserstein2 | EnergyDistance | NearestNeighbourRatio


@final
@dataclass(frozen=True)
class SampleMetrics:
    """The metrics of samples, with all that depends on the data alone computed once.

    Attributes:
        distances: by name.
        left_out: why there is no such metric of these data, by name.
    """

    distances: dict[str, Distance]
    left_out: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, data: DataModule, num_samples: int) -> "SampleMetrics":
        """Those that fit the data: w1 in one dimension, memorisation for finite sets.

        The latter is left out where more than 1% of the held-out points are training points too.
        """
        reference = data.reference(num_samples).flatten(1)
        distances: dict[str, Distance] = {
            "sliced_w2": SlicedWasserstein2(reference),
            "energy_distance": EnergyDistance(reference),
        }
        if reference.shape[1] == 1:
            distances = {"w1": Wasserstein1(reference), **distances}
        left_out: dict[str, str] = {}
        training = data.training_points()
        if training is not None:
            held_out = data.held_out(num_samples).x.flatten(1)
            try:
                ratio = NearestNeighbourRatio(training.flatten(1), held_out)
                distances["nearest_neighbour_ratio"] = ratio
            except RepeatedPointsError as error:
                left_out["nearest_neighbour_ratio"] = str(error)
        return cls({name: alone(metric) for name, metric in distances.items()}, left_out)

    def __call__(self, samples: Tensor, by_chance: bool = True) -> dict[str, float]:
        """Every metric of samples, and behind them each one's `<name>_standard_error`.

        Args:
            samples: in the data's units, (n, *shape).
            by_chance: whether other samples could have been drawn; if not, as of the quantiles of
                the start, or if they are fewer than 20, there are no standard errors.
        """
        values, errors = {}, {}
        for name, metric in self._given(samples):
            values[name] = float(metric.compute())
            if by_chance and len(samples) >= MIN_SAMPLES:
                errors[f"{name}_standard_error"] = metric.on_parts().standard_error()
        return {**values, **errors}

    def on_parts(self, samples: Tensor) -> dict[str, OnParts]:
        """Every metric of halves and quarters of samples, of which differences have errors."""
        return {name: metric.on_parts() for name, metric in self._given(samples)}

    def of_data(self, data: StandardizedData, num_samples: int) -> dict[str, float]:
        """Each distance of as many points of the data as samples, as `<name>_data`.

        That is what samples of the law itself would have by chance: of a known law fresh points, of
        a finite set its training points, at most all of them, held against the same reference as
        samples. They are the same in all runs, for any seed. Nothing of data that give neither.
        """
        points = _points_of(data, num_samples)
        if points is None:
            return {}
        # The others, such as the nearest-neighbour ratio, are not best at 0.
        return {
            f"{name}{OF_DATA}": float(metric.compute())
            for name, metric in self._given(points)
            if metric.higher_is_better is False
        }

    def _given(self, samples: Tensor) -> Iterator[tuple[str, Distance]]:
        """The metrics by name, each holding these samples."""
        for name, metric in self.distances.items():
            SIGNALS.ask()
            metric.reset()
            metric.update(samples.flatten(1))
            yield name, metric


def _points_of(data: StandardizedData, count: int) -> Tensor | None:
    """Points of the data, at most `count`, none of which is in their reference; (n, *shape)."""
    if data.fresh and data.law is not None:
        drawn = data.law.sample(count, VALIDATION.generator("yardstick"))
        return drawn.reshape(-1, *data.shape)
    points = data.training_points()
    if points is None:
        return None
    return points[VALIDATION.permutation("yardstick", len(points))[:count]]
