"""EDM's stochastic sampler."""

from collections.abc import Iterator
from math import inf, isfinite, sqrt
from typing import Literal, final

from torch import Tensor

from fokker.diffusion.samplers.base import Denoise, Nodes, Noise, Sampler
from fokker.diffusion.samplers.heun import check_alpha, second_order_step
from fokker.diffusion.sde import SDE


@final
class EDMStochastic(Sampler):
    """Heun's steps, before each of which noise is added (Karras 2022, algorithm 2).

    `gamma = min(S_churn/N, sqrt(2) - 1)` where `S_min <= sigma_i <= S_max`, else 0;
    `sigma^ = (1 + gamma) sigma_i`, `y^ = y + sqrt(sigma^^2 - sigma_i^2) S_noise n`; then a step
    of the second-order family from sigma^ to sigma_{i+1}, with any SDE.

    Args:
        S_churn: the amount of noise over all steps.
        S_min, S_max: the noise levels between which it is added.
        S_noise: its standard deviation, slightly above 1 against a network's loss of detail.
        alpha: see `Heun`.
        sde, num_steps, prior: see `Sampler`.
    Raises:
        ValueError: if S_churn or S_noise is negative, S_noise infinite or S_min above S_max; when
            sampling, if the raised noise is out of the SDE's reach.
    """

    def __init__(
        self,
        sde: SDE,
        num_steps: int = 18,
        S_churn: float = 40.0,
        S_min: float = 0.05,
        S_max: float = 50.0,
        S_noise: float = 1.0,
        alpha: float = 1.0,
        prior: Literal["published", "matched"] = "published",
    ) -> None:
        super().__init__(sde, num_steps, prior)
        if not (S_churn >= 0 and 0 <= S_noise < inf):
            raise ValueError(
                "sampler.S_churn and sampler.S_noise must not be negative, and S_noise finite, got "
                f"S_churn={S_churn:g} and S_noise={S_noise:g}"
            )
        if not 0 <= S_min <= S_max <= inf:
            raise ValueError(f"sampler.S_min must be in [0, S_max={S_max:g}], got {S_min:g}")
        self.churn, self.churn_range, self.noise_std = S_churn, (S_min, S_max), S_noise
        self.alpha = check_alpha(alpha)

    @property
    def is_deterministic(self) -> bool:
        return self.churn == 0

    def members(self, nodes: Nodes) -> list[float]:
        """Return c_i, `c_i^2 = ((1 + gamma_i)^2 - 1) sigma_i^2 / (sigma_i^2 - sigma_{i+1}^2)`.

        This SDE adds as much noise over the transition as the sampler at S_noise = 1.
        """
        members = []
        for sigma, lower in zip(nodes.sigma[:-2], nodes.sigma[1:-1], strict=True):
            gamma = self._gamma(sigma, len(nodes))
            members.append(sqrt(((1 + gamma) ** 2 - 1) * sigma**2 / (sigma**2 - lower**2)))
        return members

    def _gamma(self, sigma: float, num_steps: int) -> float:
        low, high = self.churn_range
        return min(self.churn / num_steps, sqrt(2) - 1) if low <= sigma <= high else 0.0

    def steps(self, denoise: Denoise, y: Tensor, nodes: Nodes, noise: Noise) -> Iterator[Tensor]:
        for i in range(len(nodes)):
            sigma, t = nodes.sigma[i], nodes.t[i]
            gamma = self._gamma(sigma, len(nodes))
            if gamma > 0:
                raised = (1 + gamma) * sigma
                y = y + sqrt(raised**2 - sigma**2) * self.noise_std * noise.fresh()
                sigma, t = raised, float(self.sde.time(raised))
                if not isfinite(t):
                    raise ValueError(
                        f"noise is added up to sigma={raised:g}, which the SDE never reaches; "
                        f"lower sampler.S_max={self.churn_range[1]:g} or sampler.S_churn"
                    )
            if nodes.is_last(i):
                y = denoise(y, sigma)
            else:
                y = second_order_step(denoise, self.sde, y, t, nodes.t[i + 1], self.alpha)
            yield y
