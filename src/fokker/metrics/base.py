"""The base of the metrics of samples that a run may ask for."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor
from torchmetrics import Metric

from fokker.data import DataModule
from fokker.measures import Best, Measure

#: A function of samples (n, *shape), in the data's units, or a metric that is updated with them.
Prepared = Callable[[Tensor], float | Tensor] | Metric


class SampleMetric(ABC):
    """An option of the group `metrics`: a number that says how samples differ from the data.

    Attributes:
        label: the words for it within a sentence.
        unit: its unit; `{units}` stands for the units of the data.
        best: its best value.
        is_flat: whether it takes samples as vectors, (n, d), in place of (n, *shape).
        has_error: whether a standard error is computed, which takes 50 more values of parts of the
            samples.
        optional: whether the metric is left out of data that it does not fit; if not, such data
            are refused.
    """

    label: ClassVar[str]
    unit: ClassVar[str] = ""
    best: ClassVar[Best] = "lowest"
    is_flat: ClassVar[bool] = False
    has_error: ClassVar[bool] = True
    optional: bool = False

    def check(self, data: DataModule) -> None:
        """Refuse data that the metric does not fit by a ValueError, before anything is trained."""

    @abstractmethod
    def prepared(self, data: DataModule, num_samples: int) -> Prepared:
        """Compute what depends only on the data, and return the metric of samples.

        Args:
            data: the data that samples are compared with.
            num_samples: the number of samples that will be measured.
        """

    @property
    def measure(self) -> Measure:
        """Return the description of the number."""
        return Measure(self.label, self.unit, self.best)
