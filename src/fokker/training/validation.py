"""Measuring a formulation's weights, the averaged ones in the middle of a training too."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fokker.formulation import Formulation, Truth, Validation
from fokker.machine.ranks import ALONE, Ranks
from fokker.training.module import Training

#: Of a training these are the losses of its batches.
OWN_LOSS = ("loss", "floor", "excess")


def validate(formulation: Formulation, ranks: Ranks = ALONE) -> Validation:
    """Measure the weights that are in use."""
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
    """Compute the least possible loss; none where the law is not known."""
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

    Buffers, such as the running statistics of batch norm, are those of the training, and stay as
    they are.

    Returns:
        numbers for a line of the training's curves, with the excess as `ema_excess`, for `loss`,
        `floor` and `excess` are there those of the training batches; and the table as lists:
        `level`, and each column as `<name>_per_level`.
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
