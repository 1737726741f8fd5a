"""Log-likelihoods as bits per dimension."""

import math

from torch import Tensor


def bits_per_dim(
    log_likelihood: Tensor, d: int, scale: float, levels: float, value_range: float
) -> Tensor:
    """Return `nll / (d ln 2) + log2(levels / range)` with the nll in the data's units, (n,).

    The data have `levels` equally spaced values that fill `value_range`, and are made continuous
    by uniform noise of one spacing. The result is the bits that a lossless code for the discrete
    values needs per element (Theis 2016, eq. 4: an upper bound). Examples of `levels` and
    `value_range` are images of 8 bits in [0, 256): 256 and 256; as [0, 1): 256 and 1; the digits,
    0 to 16 plus U[0, 1): 17 and 17.

    Args:
        log_likelihood: the log-likelihoods in nats, in standardised units, (n,).
        d: the number of elements of a sample.
        scale: one standardised unit in the data's units; the nll grows by ln(scale) an element.
        levels: the number of values that an element can have.
        value_range: the range that they fill together, in the data's units: `levels` spacings.
    Raises:
        ValueError: if one of the four numbers is not positive and finite.
    """
    numbers = {"d": d, "scale": scale, "levels": levels, "value_range": value_range}
    for key, value in numbers.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{key} must be positive and finite, got {value:g}")
    nll = -log_likelihood.double() + d * math.log(scale)
    return nll / (d * math.log(2)) + math.log2(levels / value_range)
