"""The law that noised data are taken to have at the highest noise."""

import math
from typing import Literal, final

import torch
from torch import Tensor

from fokker.diffusion.samplers import StartLaw


@final
class Prior:
    """`N(m, sigma_T^2 + v)` in y = x/s, element by element: the law that samplers start from.

    Args:
        law: the data's mean m and variance, (*shape), in standardised units.
        kind: `published`: v = 0 as in the papers; `matched`: v is the data's variance.
    Raises:
        ValueError: if kind is unknown or a moment is not finite or a variance negative.
    """

    def __init__(
        self, law: StartLaw, kind: Literal["published", "matched"] = "published"
    ) -> None:
        if kind not in ("published", "matched"):
            raise ValueError(f"the prior's kind must be published or matched, got {kind}")
        if not bool((law.mean.isfinite() & law.variance.isfinite() & (law.variance >= 0)).all()):
            raise ValueError(
                "the prior needs finite means and finite variances of at least 0, got "
                f"{float(law.variance.min()):g} as the lowest variance"
            )
        self._mean = law.mean.double()
        self._variance = law.variance.double() * (kind == "matched")
        #: The data's variance, averaged over the elements.
        self.data_variance = float(law.variance.double().mean())

    def log_prob(self, y: Tensor, sigma: float) -> Tensor:
        """Return `log N(y; m, sigma^2 + v)` in nats, (n,).

        Args:
            y: the states, (n, *shape).
            sigma: sigma_T.
        """
        total = self._variance.to(y.device) + sigma**2
        away = y.double() - self._mean.to(y.device)
        return -0.5 * (away**2 / total + (2 * math.pi * total).log()).flatten(1).sum(1)

    def kl(self, x0: Tensor, sigma: float) -> Tensor:
        """Return `KL(N(x0, sigma^2 I) || N(m, sigma^2 + v))` in nats, (n,).

        Its mean over the data bounds the KL divergence of their noised law to the prior.

        Args:
            x0: the data points, (n, *shape).
            sigma: sigma_T.
        """
        ratio = self._variance.to(x0.device) / sigma**2
        away = (x0.double() - self._mean.to(x0.device)) / sigma
        # It is ln(1 + r) - 1 + 1/(1 + r), whose 1 would cancel at the small r of a high sigma_T.
        spread = torch.log1p(ratio) - ratio / (1 + ratio)
        return 0.5 * (spread + away**2 / (1 + ratio)).flatten(1).sum(1)
