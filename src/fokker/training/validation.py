"""Measurements of a formulation's weights, also of the averaged ones during a training."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fokker.formulation import Formulation, Truth, Validation
from fokker.machine.ranks import ALONE, Ranks
from fokker.training.module import Training

#: In a training's curve these are numbers of its batches, not of a validation.
OWN_LOSS = ("loss", "floor", "excess")


def validate(formulation: Formulation, ranks: Ranks = ALONE) -> Validation:
    """Measure the present weights, and check what the formulation gives."""
    with as_in_use(formulation):
        found: object = formulation.validation(ranks)
    said = f"{type(formulation).__name__}.validation"
    if not isinstance(found, Validation):
        raise ValueError(
            f"{said} must give a fokker.formulation.Validation, got {type(found).__name__}; "
            "return one"
        )
    for name, number in found.numbers.items():
        if not isinstance(number, (int, float)):
            raise ValueError(
                f"{said} must give numbers, got {name} of the type {type(number).__name__}; "
                "make a float of it"
            )
    return found


def floor_of(formulation: Formulation, ranks: Ranks = ALONE) -> float | None:
    """Compute the least possible loss; None where the law is not known."""
    with as_in_use(formulation):
        truth: object = formulation.truth(ranks)
    if not isinstance(truth, Truth | None):
        raise ValueError(
            f"{type(formulation).__name__}.truth must give a fokker.formulation.Truth or None, got "
            f"{type(truth).__name__}; return one"
        )
    return None if truth is None else truth.floor


def validate_average(training: Training, ranks: Ranks = ALONE) -> dict[str, Any]:
    """Measure the averaged weights in the middle of a training.

    Buffers, such as the running statistics of batch norm, are those of the training in the first
    rank; all ranks get them, and the measurement does not change them.

    Returns:
        the numbers for a row of the training's curves, and the table as lists: `level`, and each
        column as `<name>_per_level`. The excess is called `ema_excess`, since `loss`, `floor` and
        `excess` are those of the training batches there.
    """
    training.share_buffers()
    network = training.formulation.network
    live = {k: w.detach().clone() for k, w in network.named_parameters()}
    averaged = training.weights("ema")
    try:
        set_weights(network, averaged)
        found = validate(training.formulation, ranks)
    finally:
        set_weights(network, live)
    numbers: dict[str, Any] = {k: v for k, v in found.numbers.items() if k not in OWN_LOSS}
    if "excess" in found.numbers:
        numbers["ema_excess"] = found.numbers["excess"]
    columns = {"level": found.table.level}
    columns |= {f"{name}_per_level": values for name, values in found.table.columns.items()}
    return {**numbers, **{name: list(values) for name, values in columns.items()}}


@contextmanager
def as_in_use(module: nn.Module) -> Iterator[None]:
    """Put all parts of a module in evaluation mode for the block, and then restore their modes.

    Dropout then draws nothing, and batch norm uses its running statistics and keeps them.
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
