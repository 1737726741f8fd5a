"""The denoiser D(x; sigma), and its conversion to the outputs of other papers."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Protocol, final

import torch
from torch import Tensor, nn

from fokker.diffusion.preconditioning import Coefficients, Preconditioning
from fokker.machine.device import moved

# The rows that a CPU puts through a network at once where nothing is differentiated. The layers of
# a small network then stay in a core's cache (1,024 rows of 128 numbers are half a megabyte), and
# their memory is not allocated anew each time.
ROWS_AT_ONCE = 1024


class DenoiserFunction(Protocol):
    """The function that samplers call, `E[x0 | x0 + sigma n = x]`.

    x is (n, *shape), and sigma (n,) or a scalar.
    """

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor: ...


def per_sample(value: Tensor, like: Tensor) -> Tensor:
    """Return a scalar or (n,) in the dtype of `like` (n, *shape), shaped to multiply it."""
    value = value.to(like.dtype)
    return value if value.dim() == 0 else value.reshape(-1, *[1] * (like.dim() - 1))


def _one_per_row(value: Tensor, like: Tensor) -> Tensor:
    """Return a scalar or (n,) as (n,) in the dtype and on the device of `like` (n, *shape)."""
    if value.dim() == 0 and value.device.type == "cpu":
        return like.new_full((1,), float(value)).expand(len(like))
    return value.to(like).expand(len(like))


def eps_from_denoised(x: Tensor, denoised: Tensor, sigma: Tensor) -> Tensor:
    """Return the noise prediction, `eps = (x - D) / sigma`."""
    return (x - denoised) / per_sample(sigma, x)


def denoised_from_eps(x: Tensor, eps: Tensor, sigma: Tensor) -> Tensor:
    """Return `D = x - sigma eps`."""
    return x - per_sample(sigma, x) * eps


def score_from_denoised(x: Tensor, denoised: Tensor, sigma: Tensor) -> Tensor:
    """Return `grad log p(x; sigma) = (D - x) / sigma^2` (Karras 2022, eq. 3)."""
    return (denoised - x) / per_sample(sigma, x) ** 2


def denoised_from_score(x: Tensor, score: Tensor, sigma: Tensor) -> Tensor:
    """Return `D = x + sigma^2 score`."""
    return x + per_sample(sigma, x) ** 2 * score


def v_from_denoised(x: Tensor, denoised: Tensor, sigma: Tensor) -> Tensor:
    """Return `v = alpha eps - std x0` (Salimans 2022).

    Here alpha = 1/sqrt(1 + sigma^2) and std = sigma alpha.
    """
    sigma = per_sample(sigma, x)
    return ((x - denoised) / sigma - sigma * denoised) / (1 + sigma**2).sqrt()


def denoised_from_v(x: Tensor, v: Tensor, sigma: Tensor) -> Tensor:
    """Return `D = x/(1 + sigma^2) - sigma v/sqrt(1 + sigma^2)`."""
    sigma = per_sample(sigma, x)
    return x / (1 + sigma**2) - sigma * v / (1 + sigma**2).sqrt()


def evaluations_of(network: nn.Module) -> int:
    """Return how often a network runs in one call: its attribute `evaluations`, or 1 without it.

    Raises:
        ValueError: if the attribute is not a whole number of at least 1.
    """
    evaluations = getattr(network, "evaluations", 1)
    if not isinstance(evaluations, int) or isinstance(evaluations, bool) or evaluations < 1:
        raise ValueError(
            f"{type(network).__name__}.evaluations must be a whole number of at least 1, got "
            f"{evaluations!r}: it says how often the network runs in one call, which NFE counts; "
            "give that number, or another name to what it is now"
        )
    return evaluations


@final
class Denoiser(nn.Module):
    """`D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)`.

    A network that runs more than once in a call, as for guidance, gives that number in an attribute
    `evaluations`; a sampler's NFE counts each run.

    Args:
        network: F, called as `network(x, c_noise, condition)` with x (n, *shape), c_noise (n,).
        preconditioning: the four coefficients.
    Raises:
        ValueError: if the network's `evaluations` is not a whole number of at least 1.
    """

    def __init__(self, network: nn.Module, preconditioning: Preconditioning) -> None:
        super().__init__()
        self.network = network
        self.preconditioning = preconditioning
        evaluations_of(network)
        #: The rows that went through the network so far, counted once for each run of the network;
        #: a sampler's NFE is their number per sample.
        self.evaluations = 0
        self._dtype: torch.dtype | None = None

    @contextmanager
    def prepared(self, dtype: torch.dtype | None, compile: bool) -> Iterator[None]:
        """Run the network in another precision (autocast), or compiled, during a training."""
        self._dtype = dtype
        if compile:
            self._run = torch.compile(self._run)  # type: ignore[method-assign]
        try:
            yield
        finally:
            self._dtype = None
            if compile:
                del self._run

    def _run(self, x: Tensor, c_noise: Tensor, condition: Tensor | None) -> Tensor:
        output: Tensor = self.network(x, c_noise, condition)
        return output

    def _by_rows(self, x: Tensor, c_noise: Tensor, condition: Tensor | None) -> Tensor:
        """Return F; on a CPU few rows run at once, which changes F by rounding only."""
        if torch.is_grad_enabled() or x.device.type != "cpu" or len(x) <= ROWS_AT_ONCE:
            return self._run(x, c_noise, condition)
        parts = zip(
            torch.split(x, ROWS_AT_ONCE),
            torch.split(c_noise, ROWS_AT_ONCE),
            repeat(None) if condition is None else torch.split(condition, ROWS_AT_ONCE),
        )
        return torch.cat([self._run(*part) for part in parts])

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the estimate of x0, (n, *shape).

        Args:
            x: x0 + sigma n, (n, *shape), in standardised units.
            sigma: the noise level, (n,) or scalar, in the same units, on the CPU or on the device
                of x. On the CPU the coefficients are computed without waiting for a device.
            condition: labels or the like, which are passed on to the network.
        """
        self.evaluations += len(x) * evaluations_of(self.network)
        c = self.preconditioning.coefficients(torch.as_tensor(sigma, dtype=torch.float64))
        if c.c_in.dim() > 0 and c.c_in.device != x.device:
            c = Coefficients(*moved(torch.stack(c), x.device))
        scaled = per_sample(c.c_in, x) * x
        if x.dtype == torch.float64:  # An exact computation: the network has its own precision,
            scaled = scaled.to(next(self.network.parameters(), x))  # and perhaps another device.
        c_noise = _one_per_row(c.c_noise, scaled)
        if self._dtype is None:
            output = self._by_rows(scaled, c_noise, condition)
        else:
            with torch.autocast(x.device.type, self._dtype):
                output = self._by_rows(scaled, c_noise, condition)
        return per_sample(c.c_skip, x) * x + per_sample(c.c_out, x) * output.to(x)


class KnownLaw(Protocol):
    """The law of the data as an exact denoiser uses it, x (n, d), sigma a number or (n,)."""

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor: ...


@final
class ExactDenoiser(nn.Module):
    """`D*(x; sigma) = E[x0 | x0 + sigma n = x]` of a known law: no network, no weights, no error.

    Args:
        law: the law of the flattened data, in the model's units; it computes in float64 on the CPU.
    """

    def __init__(self, law: KnownLaw) -> None:
        super().__init__()
        self._law = law
        #: The number of rows that were denoised so far.
        self.evaluations = 0

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the mean of x0 given x, (n, *shape); see `Denoiser`."""
        self.evaluations += len(x)
        level = torch.as_tensor(sigma, dtype=torch.float64).cpu()
        return self._law.denoise(x.flatten(1).cpu(), level).reshape(x.shape).to(x)
