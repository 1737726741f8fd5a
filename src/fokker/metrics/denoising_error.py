"""The denoising error at each noise level."""

from typing import ClassVar, final

import torch
from torch import Tensor
from torchmetrics import Metric


@final
class DenoisingError(Metric):
    r"""The error `E|D(x0 + sigma n; sigma) - x0|^2 / d` for each of b noise levels.

    It is the one curve that compares runs with other weightings or noise levels; its floor is
    mmse(sigma)/d. The metric only averages: the owner of the denoiser passes the error of each
    sample. To compare two runs it must use the same points and noises. Lower is better.

    Source: Karras et al. 2022 (2206.00364), eq. 2, divided by d.
    """

    name: ClassVar[str] = "denoising_error"
    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    error_sum: Tensor
    count: Tensor

    def __init__(self, sigmas: Tensor) -> None:
        """Start with empty bins.

        Args:
            sigmas: the centres of the bins, (b,), in the units of the standardised data.

        Raises:
            ValueError: `sigmas` is not a vector of one or more positive finite numbers.
        """
        super().__init__()
        if sigmas.ndim != 1 or sigmas.numel() == 0:
            raise ValueError(f"sigmas must have shape (b,), b >= 1, got {tuple(sigmas.shape)}")
        if not bool((sigmas.isfinite() & (sigmas > 0)).all()):
            raise ValueError(f"sigmas must be positive and finite, got {sigmas.tolist()}")
        # A plain attribute is not synchronised, saved or rounded by module.half().
        self.sigmas = sigmas.detach().to(torch.float64)
        zeros = torch.zeros(sigmas.numel(), dtype=torch.float64)
        self.add_state("error_sum", zeros, dist_reduce_fx="sum")
        self.add_state("count", zeros.to(torch.int64), dist_reduce_fx="sum")

    def update(self, error: Tensor, bin_index: Tensor) -> None:
        """Add errors of single samples.

        Args:
            error: the error |D - x0|^2 / d of each sample, (n,).
            bin_index: the place in `sigmas` of each sample's noise level, integers, (n,).

        Raises:
            ValueError: shapes differ, an error is negative, NaN or infinite, or an index is not an
                integer in [0, b).
        """
        if error.ndim != 1 or error.shape != bin_index.shape:
            raise ValueError(
                "error and bin_index must have the same shape (n,), got "
                f"{tuple(error.shape)} and {tuple(bin_index.shape)}"
            )
        if bin_index.is_floating_point() or bin_index.is_complex() or bin_index.dtype == torch.bool:
            raise ValueError(f"bin_index must be integers, got {bin_index.dtype}")
        num_bins = self.sigmas.numel()
        if bool(((bin_index < 0) | (bin_index >= num_bins)).any()):
            raise ValueError(
                f"bin_index must be in [0, {num_bins}), got "
                f"{int(bin_index.min())} to {int(bin_index.max())}"
            )
        bad = int(error.numel() - (error.isfinite() & (error >= 0)).sum())
        if bad:
            raise ValueError(
                f"error must be finite and at least 0, got {bad} other values of {error.numel()}: "
                "the network's output is broken, or this is not a squared norm"
            )
        index = bin_index.to(self.device, torch.int64)
        self.error_sum.index_add_(0, index, error.detach().to(self.device, torch.float64))
        self.count += torch.bincount(index, minlength=num_bins)

    def compute(self) -> Tensor:
        """Return the mean error of each bin, float64, (b,), squared units of the standardised data.

        A bin without samples is NaN.
        """
        return self.error_sum / self.count
