"""A step of a training, tried with two samples before anything is written."""

import copy

import torch

from fokker.formulation import Formulation
from fokker.machine.own_code import own_code
from fokker.training.losses import checked
from fokker.training.origin import Origin
from fokker.training.validation import as_in_use

#: So many that a mean is none of them.
ROWS = 2
# Draws may take a number of each place in the whole batch, which may be large.
_BATCH = 16


def copied(model: Formulation) -> Formulation:
    """Copy a model to be tried on a few rows, for a network of one's own may count its calls."""
    tried, data = copy.deepcopy(model), copy.copy(model.data)
    data.batch_size = min(data.batch_size, _BATCH)
    tried.data = data
    return tried


def check_step(origin: Origin) -> None:
    """Refuse a formulation that cannot make a step, or whose losses are not those of samples.

    Of stages the first is tried: the others need the weights of the one before. On another device
    than the CPU nothing is, for what computes there may not do so here.

    Raises:
        ValueError: says what it ran into.
    """
    while origin.task.earlier is not None:
        origin = origin.task.earlier
    task = origin.task
    if origin.is_ready or task.device.type != "cpu":
        return
    name, rows = task.facts["formulation"], min(ROWS, task.model.data.batch_size)
    try:
        model = copied(task.model)
    except Exception:  # What cannot be copied cannot be tried.
        return
    said = f"formulation={name} cannot make a step of the training"
    with (
        own_code(said, "mend it, or choose parts and data that fit it"),
        torch.random.fork_rng(devices=[]),
        torch.enable_grad(),
        as_in_use(model),
    ):
        draws = model.draws(0, range(rows), model.fetch(0, rows))
        losses = checked(model.losses(draws), rows, model)
    if not losses.objective.requires_grad:
        raise ValueError(
            f"{type(model).__name__}.losses must give an objective that depends on the weights, "
            "got one without a gradient; compute it from the network, outside of torch.no_grad"
        )
