"""The network of a formulation, made when the shape of the data is known."""

import inspect
from collections.abc import Callable

from torch import nn


def made_network(
    network: Callable[..., nn.Module], shape: tuple[int, ...], c_noise_range: tuple[float, float]
) -> nn.Module:
    """Make a network, which may be the user's own, and check that it is one.

    Args:
        network: a callable that takes `shape` and `c_noise_range`.
        shape: the shape of one sample.
        c_noise_range: the values of c_noise that are mapped to [0, 1].
    Raises:
        ValueError: if it cannot be made, is no module, or cannot be called with x, c_noise and a
            condition.
    """
    try:
        made = network(shape=shape, c_noise_range=c_noise_range)
    except Exception as error:
        if isinstance(error, ValueError) and "network" in str(error):
            raise
        raise ValueError(f"network cannot be built: {type(error).__name__}: {error}") from error
    if not isinstance(made, nn.Module):
        raise ValueError(
            "network must be a torch.nn.Module when it is given shape and c_noise_range, got "
            f"{type(made).__name__}; let network._target_ name what gives one"
        )
    try:
        inspect.signature(made.forward).bind(None, None, None)
    except TypeError as error:
        raise ValueError(
            "network must be called as network(x, c_noise, condition), and the forward of "
            f"{type(made).__name__} cannot: {error}; give it these parameters"
        ) from error
    return made
