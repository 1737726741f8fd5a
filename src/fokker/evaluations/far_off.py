"""Samples that lie much farther from the mean than the data, or much nearer."""

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from fokker.data import DataModule, StandardizedData
from fokker.data.layouts import FEATURES, features_of
from fokker.metrics.blocks import MIN_SAMPLES

#: The factor above or below the data's spread beyond which samples are said to be far off.
FAR_OFF = 3.0
#: The number of data points that tell how far the spread of samples may be off by sampling noise.
KNOWN_POINTS = 5_000
# A mean square of at most this relative variance does not come out at a ninth by sampling noise.
MAX_VARIANCE = 1 / 8


def how_far_off(data: DataModule, num_samples: int) -> Callable[[Tensor], str]:
    """Return a function that says how far samples are off, or nothing for data without a scale."""
    if isinstance(data, StandardizedData):
        return FarOff(data, num_samples).sentence
    return lambda samples: ""


@final
class FarOff:
    """A judge of samples whose spread is not that of the data.

    The spread of samples is `sqrt(E sum (x - m)^2 / sum v)`, m and v the data's mean and variance,
    over the elements of each feature: a column of points, a channel of images and volumes, a
    feature of series. Constant elements are left out, and so is a feature whose spread so few
    samples do not show, such as a column that is nearly always 0.

    Args:
        data: the data that samples are compared with.
        num_samples: the number of samples; nothing is said of fewer than 20.
    """

    def __init__(self, data: StandardizedData, num_samples: int) -> None:
        self._data, (mean, variance) = data, data.model_moments
        self._mean = data.to_data(mean).flatten()
        self._variance = variance.double().flatten() * data.scale**2
        self._varies = self._variance > 0
        #: The features that vary, and the place among them of each element that does.
        self._features, self._places = torch.unique(
            features_of(data.shape)[self._varies], return_inverse=True
        )
        if not bool(self._varies.any()):
            self._judged = self._varies[:0]  # Training points that are all the same.
            return
        known = self._squares(data.some_points(KNOWN_POINTS))
        # The relative variance of the mean of so many squares is NaN, and not judged, if all are 0.
        variance = known.var(0, correction=0) / known.mean(0) ** 2 / num_samples
        self._judged = (variance <= MAX_VARIANCE) & (num_samples >= MIN_SAMPLES)

    def sentence(self, samples: Tensor) -> str:
        """Say how far samples (n, *shape), in the data's units, are off; return "" if they fit."""
        if not bool(self._judged.any()):
            return ""
        spread = self._squares(samples).mean(0).sqrt()
        off = torch.where(self._judged, spread.clamp(min=1e-300).log().abs(), 0.0)
        worst = int(off.argmax())
        if float(off[worst]) <= math.log(FAR_OFF):
            return ""
        where = ""
        if len(off) > 1:
            number, what = int(self._features[worst]), FEATURES[self._data.layout]
            name = f"{number} of 0 to {int(self._features[-1])}"
            if what == "column":
                name = self._data.column_name(number)
            where = f" in {what} {name}"
        times = float(spread[worst])
        return f"samples lie {times:.3g} times as far from the mean as the data{where}"

    def _squares(self, x: Tensor) -> Tensor:
        """Return `sum (x - m)^2 / sum v` of each point and feature that varies, (n, k)."""
        varies, places, count = self._varies, self._places, len(self._features)
        squares = (x.double().flatten(1)[:, varies] - self._mean[varies]).square()
        sums = squares.new_zeros(len(x), count).index_add_(1, places, squares)
        variance = squares.new_zeros(count).index_add_(0, places, self._variance[varies])
        return sums / variance
