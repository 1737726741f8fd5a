"""Losses as a formulation gives them, held against what they must be."""

from fokker.formulation import Formulation, Losses


def checked(losses: object, count: int, model: Formulation) -> Losses:
    """Refuse losses that are not one of each sample: a mean would be averaged once more, quietly.

    Args:
        losses: as given.
        count: of the samples.
        model: that gave them.
    Raises:
        ValueError: says what must be there.
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
