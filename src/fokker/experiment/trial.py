"""A step of a training, tried with two samples before anything is written."""

import copy

import torch

from fokker.formulation import Formulation
from fokker.machine.own_code import own_code
from fokker.training.losses import checked
from fokker.training.origin import Origin
from fokker.training.validation import as_in_use

#: More than one row, so that a mean over them has another shape than the losses.
ROWS = 2
# Draws may make a number for each place in the whole batch, which may be large.
_BATCH = 16


def copied(model: Formulation) -> Formulation:
    """Copy a model to try it on a few rows: a user's own network may, say, count its calls."""
    tried, data = copy.deepcopy(model), copy.copy(model.data)
    data.batch_size = min(data.batch_size, _BATCH)
    tried.data = data
    return tried


def check_step(origin: Origin) -> None:
    """Refuse a formulation that cannot make a step, or has no loss for each sample.

    Of several stages only the first is tried, since the others need the weights of the one before.
    For a device other than the CPU nothing is tried, since its code may not run on the CPU.

    Raises:
        ValueError: if the step fails; says why.
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
        own_code(said, "fix it, or choose parts and data that fit it"),
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
