"""A training that came to numbers which are not finite, and what to say of it."""

import torch
from torch import Tensor


class DivergedError(RuntimeError):
    """A loss, a gradient or data that are not finite."""


def diverged(
    what: str, step: int, points: Tensor, levels: Tensor, level_name: str
) -> DivergedError:
    """The error for a step that is not finite: its data are to blame, or the training is.

    Args:
        what: that is not finite, `loss` or `gradient`.
        step: the optimiser step's number.
        points: the step's batch, (batch, *shape).
        levels: of those samples whose loss or gradient it is, (n,).
        level_name: what they are called.
    """
    bad = int((~torch.isfinite(points.flatten(1))).any(1).sum())
    if bad:
        return DivergedError(
            f"the data are not finite at step {step} ({bad} of {len(points)} samples); the last "
            "good checkpoint is kept; mend what the data's class gives there"
        )
    return DivergedError(
        f"the {what} is not finite at step {step}, at {level_name} {float(levels.min()):.4g} to "
        f"{float(levels.max()):.4g} ({len(levels)} of {len(points)} samples); the last good "
        "checkpoint is kept; try a smaller optimizer.lr or other parts of the formulation"
    )
