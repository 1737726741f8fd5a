"""Dormand-Prince 5(4), in which every sample of a batch has its own step length."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from fokker.diffusion.denoiser import per_sample

#: The derivative (m, *shape) of states (m, *shape) at places (m,), float64. Samples that have
#: arrived are left out: the third argument has the rows of the states in the batch, (m,).
Slope = Callable[[Tensor, Tensor, Tensor], Tensor]

# Dormand & Prince 1980: stages, the fifth-order solution and its difference to the fourth.
NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
FIRST_STEP = 0.05
# A row this near to the end has arrived.
ARRIVED = 1e-12
MAX_ROUNDS = 10_000


class NotFiniteError(ValueError):
    """The error of a slope that is NaN or infinite."""


class ToleranceError(ValueError):
    """The error of a tolerance that was not reached in the rounds that were allowed."""


@final
@dataclass(frozen=True)
class Integral:
    """The state at the end, (n, *shape), and the number of slopes taken for each row, (n,)."""

    state: Tensor
    evaluations: Tensor


def integrate(
    slope: Slope,
    state: Tensor,
    start: float,
    stop: float,
    rtol: float,
    atol: float,
    max_rounds: int = MAX_ROUNDS,
) -> Integral:
    """Integrate `dstate/dplace = slope(state, place, rows)` from `start` to `stop`.

    A row's step is accepted where the root mean square over its elements of
    `error / (atol + rtol max(|before|, |after|))` is at most 1 (Hairer, Norsett & Wanner I, eq.
    II.4.11), and the next one is `0.9 norm^(-1/5)` times as long, within 1/5 and 5.

    Args:
        slope: see `Slope`.
        state: the state at the start, (n, *shape), which is not changed.
        start, stop: the two ends of the place, in either order.
        rtol, atol: the tolerances of a step, relative and absolute; in float64 1e-10 is in reach.
        max_rounds: the most rounds; a round is one step of every row that has not arrived.
    Raises:
        NotFiniteError: if the slope is NaN or infinite somewhere.
        ToleranceError: if not all rows arrived in `max_rounds`.
    """
    state = state.clone()
    evaluations = torch.zeros(len(state), dtype=torch.int64, device=state.device)
    active = torch.arange(len(state), device=state.device)
    if start == stop or len(state) == 0:
        return Integral(state, evaluations)
    sign = 1.0 if stop > start else -1.0
    place = torch.full((len(state),), start, dtype=torch.float64, device=state.device)
    length = torch.full_like(place, min(FIRST_STEP, abs(stop - start)))
    first = slope(state, place, active)
    evaluations += 1
    for _ in range(max_rounds):
        before, at = state[active], place[active]
        h = sign * torch.minimum(length, sign * (stop - place))[active]
        slopes, after = _stages(slope, before, first[active], at, h, active)
        evaluations[active] += len(NODES)
        error = per_sample(h, before) * _combined(ERROR, slopes)
        size = atol + rtol * torch.maximum(before.abs(), after.abs())
        norm = (error / size).flatten(1).square().mean(1).sqrt().double()
        if not torch.isfinite(norm).all():
            raise NotFiniteError("the slope is not finite, so the integration cannot go on")
        accepted = norm <= 1
        moved = active[accepted]
        state[moved], first[moved] = after[accepted], slopes[-1][accepted]
        place[moved] = (at + h)[accepted]
        length[active] = h.abs() * (0.9 * norm.clamp(min=1e-10) ** -0.2).clamp(0.2, 5.0)
        active = active[sign * place[active] < sign * stop - ARRIVED]
        if len(active) == 0:
            return Integral(state, evaluations)
    raise ToleranceError(
        f"the tolerance was not reached in {max_rounds} rounds; raise rtol={rtol:g} and "
        f"atol={atol:g}"
    )


def _stages(
    slope: Slope, before: Tensor, first: Tensor, at: Tensor, h: Tensor, rows: Tensor
) -> tuple[list[Tensor], Tensor]:
    """Return the seven slopes of a step and the fifth-order state, which is the last stage."""
    slopes, after = [first], before
    for node, row in zip(NODES, STAGES, strict=True):
        after = before + per_sample(h, before) * _combined(row, slopes)
        slopes.append(slope(after, at + node * h, rows))
    return slopes, after


def _combined(row: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    total = row[0] * slopes[0]
    for weight, slope in zip(row[1:], slopes[1:], strict=True):
        total = total + weight * slope
    return total
