"""The error of a training whose numbers are not finite."""

import torch
from torch import Tensor


class DivergedError(RuntimeError):
    """An error about a loss, a gradient or data that are not finite."""


def diverged(
    what: str, step: int, points: Tensor, levels: Tensor, level_name: str
) -> DivergedError:
    """Return the error for a step that is not finite; it blames the data or the training.

    Args:
        what: the quantity that is not finite, `loss` or `gradient`.
        step: the number of the optimizer step.
        points: the step's batch, (batch, *shape).
        levels: the levels of the samples whose loss or gradient is not finite, (n,).
        level_name: the name of a level.
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
