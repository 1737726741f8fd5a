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
#: Draws may take a number of each place in the whole batch.
MOST = 2**20


def copied(model: Formulation) -> Formulation:
    """A copy to be tried, for a network of one's own may count its calls; data stay themselves."""
    return copy.deepcopy(model)


def check_step(origin: Origin) -> None:
    """Refuse a formulation that cannot make a step, or whose losses are not those of samples.

    Of stages the first is tried: the others need the weights of the one before. On another device
    than the CPU nothing is, for what computes there may not do so here.

    Raises:
        ValueError: says what it ran into.
    """
    while origin.task.earlier is not None:
        origin = origin.task.earlier
    task, batch_size = origin.task, origin.task.model.data.batch_size
    if origin.is_ready or task.device.type != "cpu" or batch_size > MOST:
        return
    name, rows = task.facts["formulation"], min(ROWS, batch_size)
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
