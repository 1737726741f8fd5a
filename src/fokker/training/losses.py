"""A check of the losses that a formulation gives."""

from fokker.formulation import Formulation, Losses


def checked(losses: object, count: int, model: Formulation) -> Losses:
    """Return losses that have one number for each sample, and refuse others.

    A loss that is a mean already would silently be averaged again.

    Args:
        losses: the losses as given.
        count: the number of samples.
        model: the formulation that gave the losses.
    Raises:
        ValueError: if the losses have another type or shape.
    """
    if isinstance(losses, Losses):
        found = [getattr(part, "shape", None) for part in (losses.value, losses.objective)]
        if found == [(count,), (count,)]:
            return losses
        got = " and ".join(str(f if f is None else tuple(f)) for f in found)
    else:
        got = type(losses).__name__
    raise ValueError(
        f"{type(model).__name__}.losses must give Losses(value, objective) with one number of each "
        f"sample, of the shape ({count},) both, got {got}; return no means or sums"
    )
