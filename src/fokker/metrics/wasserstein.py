"""The 1-Wasserstein distance on the line."""

from typing import ClassVar, final

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from fokker.metrics.blocks import OnParts, rows_of_parts, used_of
from fokker.metrics.coupling import coupling_cost, sort_rows
from fokker.metrics.points import check_points, check_some


@final
class Wasserstein1(Metric):
    r"""The distance `W_1 = int_0^1 |F^{-1}(q) - G^{-1}(q)| dq` of two empirical laws on the line.

    F is the law of all samples given to `update`, G that of the reference; their sizes may differ.
    0 is best. Between n exact samples and the law itself it is of order n^-1/2, not 0.

    Source: Peyre & Cuturi 2019 (1803.00567), section 2.6.
    """

    name: ClassVar[str] = "w1"
    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    samples: list[Tensor]

    def __init__(self, reference: Tensor) -> None:
        """Sort the reference.

        Args:
            reference: points of the data, (m, 1).

        Raises:
            ValueError: the reference is empty, not finite, or not of shape (m, 1).
        """
        super().__init__()
        points = check_points("reference", reference)
        if points.shape[1] != 1:
            raise ValueError(
                f"reference of Wasserstein1 must have d=1, got d={points.shape[1]}: "
                "use SlicedWasserstein2 or EnergyDistance"
            )
        # torchmetrics gives a rank without samples an empty vector of the metric's dtype.
        self.set_dtype(torch.float64)
        # A plain attribute is not synchronised, saved or rounded by module.half().
        self._reference = sort_rows(points[:, 0])
        self.add_state("samples", default=[], dist_reduce_fx="cat")

    def update(self, samples: Tensor) -> None:
        """Add samples.

        Args:
            samples: points (n, 1), in the units of the reference.

        Raises:
            ValueError: the shape is another one, or values are NaN or infinite.
        """
        points = check_points("samples", samples, 1, allow_empty=True)
        self.samples.append(points.flatten().to(self.device))

    def compute(self) -> Tensor:
        """Return W_1, a float64 scalar in the units of the points.

        Raises:
            ValueError: no samples were given.
        """
        check_some(sum(part.numel() for part in self.samples))
        samples = sort_rows(dim_zero_cat(self.samples))
        return coupling_cost(samples, self._reference.to(samples.device), order=1)

    def on_parts(self) -> OnParts:
        """Return W_1 of halves and quarters of this process's samples."""
        samples = dim_zero_cat(self.samples)
        reference = self._reference.to(samples.device)
        rows = rows_of_parts(samples[None, : used_of(len(samples))])
        costs = [coupling_cost(x[:, 0], reference, order=1) for x in rows]
        return OnParts.of(torch.cat(costs), len(samples))
