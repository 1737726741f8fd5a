"""Song's predictor-corrector sampler."""

from collections.abc import Iterator
from math import inf, sqrt
from typing import Literal, final

import torch
from torch import Tensor

from fokker.diffusion.samplers.base import Denoise, Nodes, Noise, Sampler
from fokker.diffusion.samplers.reverse_diffusion import reverse_diffusion_step
from fokker.diffusion.sde import SDE

NORM_BLOCK = 1024


@final
class PredictorCorrector(Sampler):
    """M Langevin steps at each grid point, then reverse diffusion (Song 2021, algorithms 2 to 5).

    A corrector step is, in x_t, `x + e score + sqrt(2 e) n` with `e = 2 a (r std)^2`,
    `a = (s_t/s_s)^2`, which is 1 - B^2 on a VP chain and 1 on VE. Song's rule is
    `e = 2 a (r |n|/|score|)^2`; here the norms are at their expectations, so that a sample
    depends on its own noise only.

    Args:
        num_corrector_steps: M.
        snr: r, the ratio of signal to noise in a corrector step.
        norms: `expected`, or `batch`: Song's rule over fixed blocks of 1,024 samples.
        sde, num_steps, prior: see `Sampler`.
    Raises:
        ValueError: if M is below 1, r not positive and finite or norms unknown.
    """

    def __init__(
        self,
        sde: SDE,
        num_steps: int = 100,
        num_corrector_steps: int = 1,
        snr: float = 0.16,
        norms: Literal["expected", "batch"] = "expected",
        prior: Literal["published", "matched"] = "published",
    ) -> None:
        super().__init__(sde, num_steps, prior)
        if num_corrector_steps < 1:
            raise ValueError(
                f"sampler.num_corrector_steps must be at least 1, got {num_corrector_steps}; "
                "choose sampler=reverse_diffusion for none"
            )
        if not 0 < snr < inf:
            raise ValueError(f"sampler.snr must be positive and finite, got {snr:g}")
        if norms not in ("expected", "batch"):
            raise ValueError(f"sampler.norms must be expected or batch, got {norms}")
        self.num_corrector_steps, self.snr, self.norms = num_corrector_steps, float(snr), norms

    @property
    def is_deterministic(self) -> bool:
        return False

    def members(self, nodes: Nodes) -> list[float]:
        # These are the predictor's: correctors have no direction in sigma.
        return [1.0] * (len(nodes) - 1)

    def steps(self, denoise: Denoise, y: Tensor, nodes: Nodes, noise: Noise) -> Iterator[Tensor]:
        for i in range(len(nodes)):
            for _ in range(self.num_corrector_steps):
                y = self._correct(denoise(y, nodes.sigma[i]), y, nodes, i, noise.fresh())
            y = reverse_diffusion_step(y, denoise(y, nodes.sigma[i]), nodes, i, noise)
            yield y

    def _correct(self, denoised: Tensor, y: Tensor, nodes: Nodes, i: int, normal: Tensor) -> Tensor:
        s, sigma = nodes.s[i], nodes.sigma[i]
        a = (s / nodes.s[i + 1]) ** 2
        score = (denoised - y) / (s * sigma**2)
        if self.norms == "expected":
            e = 2 * a * (self.snr * s * sigma) ** 2
            return y + (e * score + sqrt(2 * e) * normal) / s
        blocks = zip(*(torch.split(part, NORM_BLOCK) for part in (y, score, normal)), strict=True)
        moved = []
        for state, slope, fresh in blocks:
            ratio = fresh.flatten(1).norm(dim=1).mean() / slope.flatten(1).norm(dim=1).mean()
            step = 2 * a * (self.snr * ratio) ** 2
            moved.append(state + (step * slope + (2 * step).sqrt() * fresh) / s)
        return torch.cat(moved)
