"""Sampling by diffusers' schedulers, with any denoiser along any noise levels.

They compute in the dtype of the state and of `sigmas`, which are given in float64 here; only
EDMEulerScheduler casts states to float32.
"""

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

os.environ["HF_HUB_OFFLINE"] = "1"

from diffusers import (
    DPMSolverSinglestepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    HeunDiscreteScheduler,
    KDPM2DiscreteScheduler,
    UniPCMultistepScheduler,
)

Denoise = Callable[[Tensor, Tensor], Tensor]
SIGMA_DATA = 0.5


@final
@dataclass(frozen=True)
class Scheduler:
    """A deterministic scheduler, and what it wants of a model.

    Attributes:
        title: of it in a table.
        scheduler: of diffusers.
        evaluations: of the denoiser, a step; the last step has one.
        output: of the model, given x, D and sigma.
        variance_preserving: whether its state is x/sqrt(1 + sigma^2).
    """

    title: str
    scheduler: Any
    evaluations: int = 1
    output: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda x, denoised, sigma: denoised
    variance_preserving: bool = False

    @property
    def to_zero(self) -> bool:
        """Whether its last step is to sigma = 0, and not to the lowest level above it."""
        return self.scheduler.config.get("final_sigmas_type", "zero") == "zero"


def _edm_output(x: Tensor, denoised: Tensor, sigma: Tensor) -> Tensor:
    """F, of D = c_skip x + c_out F."""
    total = sigma**2 + SIGMA_DATA**2
    return (denoised - SIGMA_DATA**2 / total * x) * total.sqrt() / (sigma * SIGMA_DATA)


def _noise(x: Tensor, denoised: Tensor, sigma: Tensor) -> Tensor:
    return (x - denoised) / sigma


def _all() -> list[Scheduler]:
    found = [
        Scheduler("Euler", EDMEulerScheduler(sigma_data=SIGMA_DATA), output=_edm_output),
        Scheduler("Heun", HeunDiscreteScheduler(prediction_type="sample"), 2),
        Scheduler("KDPM2", KDPM2DiscreteScheduler(), 2, _noise),
    ]
    for order in (1, 2, 3):
        for kind in ("midpoint", "heun") if order == 2 else ("midpoint",):
            # On the way to sigma = 0 the last step is Euler's in any case.
            ends = [("zero", False), ("sigma_min", False), ("sigma_min", True)]
            for end, euler in ends[: 2 if order == 1 else 3]:
                made = EDMDPMSolverMultistepScheduler(
                    sigma_data=SIGMA_DATA, solver_order=order, solver_type=kind,
                    euler_at_final=euler, final_sigmas_type=end,
                )  # fmt: skip
                title = f"DPM++ {order}M{' heun' * (kind == 'heun')}{', Euler at end' * euler}"
                found.append(Scheduler(title, made, output=_edm_output))
        # The steps of bh1 to sigma = 0 are NaN.
        for kind, end in (("bh1", "sigma_min"), ("bh2", "sigma_min"), ("bh2", "zero")):
            made = UniPCMultistepScheduler(
                solver_order=order, solver_type=kind, prediction_type="sample",
                final_sigmas_type=end,
            )  # fmt: skip
            found.append(Scheduler(f"UniPC-{order} {kind}", made, variance_preserving=True))
    for order in (2, 3):
        made = DPMSolverSinglestepScheduler(
            solver_order=order, prediction_type="sample", lower_order_final=True,
            final_sigmas_type="zero",
        )  # fmt: skip
        found.append(Scheduler(f"DPM++ {order}S", made, variance_preserving=True))
    return found


SCHEDULERS = _all()


def walk(kind: Scheduler, nodes: Tensor, start: Tensor, denoise: Denoise) -> Tensor:
    """The samples, (n, d).

    Args:
        kind: of solver.
        nodes: descending noise levels in the place of the scheduler's own, (N + 1,), the last 0 or,
            where it is to end above 0, the lowest.
        start: at nodes[0], (n, d).
        denoise: D(y; sigma).
    """
    scheduler = copy.copy(kind.scheduler)
    scheduler.set_timesteps(len(nodes) - 1)
    scheduler.set_begin_index(0)
    scheduler.sigmas = nodes
    if kind.evaluations == 2:
        scheduler.sigmas = torch.cat([nodes[:1], nodes[1:-1].repeat_interleave(2), nodes[[-1, -1]]])
        # Of KDPM2 alone.
        middles = (nodes[1:] * nodes[:-1]).sqrt().repeat_interleave(2)
        scheduler.sigmas_interpol = torch.cat([nodes[:1], middles, nodes[-1:]])
    x = start / _scale(kind, nodes[0])
    for i, time in enumerate(scheduler.timesteps):
        scheduler.scale_model_input(x, time)  # Some want to be asked.
        at_middle = kind.title == "KDPM2" and not scheduler.state_in_first_order
        sigma = (scheduler.sigmas_interpol if at_middle else scheduler.sigmas)[i]
        scale = _scale(kind, sigma)
        output = kind.output(x, denoise(x * scale, sigma), sigma)
        x = scheduler.step(output, time, x, return_dict=False)[0]
    return x * _scale(kind, nodes[-1])


def _scale(kind: Scheduler, sigma: Tensor) -> Tensor:
    return (1 + sigma**2).sqrt() if kind.variance_preserving else torch.ones_like(sigma)
