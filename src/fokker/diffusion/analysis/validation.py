"""Losses of a denoiser on held-out data, and on data of the law that it is trained on."""

import torch
from torch import Tensor

from fokker.diffusion.analysis.floors import Floors
from fokker.diffusion.analysis.model import Model
from fokker.formulation import Validation
from fokker.levels import Axis, Table
from fokker.machine.device import moved
from fokker.machine.ranks import ALONE, Ranks
from fokker.machine.signals import SIGNALS
from fokker.metrics import DenoisingError
from fokker.metrics.alone import alone
from fokker.randomness import Randomness

#: The noise levels at which every model is validated, in standardised units.
SIGMAS = torch.logspace(-2.69897, 1.90309, 16, dtype=torch.float64)  # 0.002 to 80
AXIS = Axis(
    name="sigma",
    symbol=r"$\sigma$",
    label=r"noise level $\sigma$ (standardised units)",
    quantity=r"denoising error $\mathrm{E}|D - x_0|^2 / d$",
    unit="standardised units²",
    is_log=True,
)
VALIDATION_POINTS = 512
LOSS_POINTS = 2048
# One seed for all runs, so that they are compared on the same (x0, sigma, n).
VALIDATION = Randomness(0)


@torch.no_grad()
def denoising_errors(model: Model, ranks: Ranks = ALONE) -> Tensor:
    """Return `E|D - x0|^2 / d` at each of SIGMAS on a fixed set of (x0, sigma, n), (16,).

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
    """Tell which of SIGMAS lie where a model was trained, (16,)."""
    low, high = usual_range
    return (low / 1.1 <= SIGMAS) & (high * 1.1 >= SIGMAS)


@torch.no_grad()
def held_out_loss(model: Model, ranks: Ranks = ALONE) -> float:
    """Return the formulation's loss on held-out data, at evenly spread quantiles of its noise."""
    share = ranks.share(LOSS_POINTS)
    rows = torch.arange(share.start, share.stop)
    whole = model.data.to_model(model.data.held_out(LOSS_POINTS).x)
    points = whole[rows % len(whole)].to(model.device)
    order = VALIDATION.permutation("sigma", LOSS_POINTS)[rows]
    sigma = model.noise_levels.sigma((order.double() + 0.5) / LOSS_POINTS)
    noise = VALIDATION.normal("validation", share.start, share.stop, model.data.shape, step=1)
    losses = model.loss(points, sigma, moved(noise, model.device))
    return float(ranks.total(losses.double().sum())) / LOSS_POINTS


def validation(model: Model, floors: Floors | None, ranks: Ranks = ALONE) -> Validation:
    """Measure a model's losses on held-out data, and on data of the law that it is trained on.

    On the latter every loss is `floor + excess`: the part that no denoiser can avoid, and the part
    that is left to learn. The numbers `loss`, `floor` and `excess` are of the formulation's own
    loss, over its own training noise. The table has `E|D - x0|^2 / d`, by which formulations
    compare; `relative_excess` is the mean of its excess/floor over the trained levels. Where data
    are fresh the two laws are one. For a finite set the floor is the loss of a model that has
    memorised it.

    Args:
        model: the model, the same in all ranks.
        floors: the floors of the law; None where it is not known.
        ranks: the ranks that measure together, each its share of the points.
    """
    errors, trained = denoising_errors(model, ranks), is_trained(model.usual_range)
    numbers = {
        "held_out_loss": held_out_loss(model, ranks),
        "denoising_error": float(errors[trained].mean()),
    }
    columns = {"held_out": errors.tolist()}
    if floors is not None:
        floor, excess, levels = floors.total(model), floors.excess(model, ranks), floors.levels
        numbers.update(loss=floor.value + excess.total, floor=floor.value, excess=excess.total)
        if floor.standard_error > 0:
            numbers["floor_standard_error"] = floor.standard_error
        if model.data.fresh:  # The floor of a finite set is 0 at low noise.
            numbers["relative_excess"] = float((excess.levels / levels)[trained].mean())
        columns["loss"] = (levels + excess.levels).tolist()
        columns["floor"], columns["excess"] = levels.tolist(), excess.levels.tolist()
    return Validation(numbers, Table(AXIS, SIGMAS.tolist(), trained.tolist(), columns))
