"""Errors of a user's own code before anything is written, as sentences."""

from collections.abc import Iterator
from contextlib import contextmanager

from fokker.machine.device import is_out_of_memory

#: Packages whose ValueErrors are not written for fokker's users.
_OTHERS = ("torch", "numpy", "lightning", "torchmetrics", "omegaconf")


@contextmanager
def own_code(said: str, remedy: str) -> Iterator[None]:
    """Turn an error of the user's own code in the block into one sentence.

    A ValueError of that code is one already. A lack of memory is left to a caller, who knows what
    does not fit.

    Args:
        said: what fails, such as `LetterDiffusion.way cannot be asked`.
        remedy: what to do about it.
    Raises:
        ValueError: in place of any other error.
    """
    try:
        yield
    except Exception as error:
        package, place = _origin(error)
        is_sentence = isinstance(error, ValueError) and package not in _OTHERS
        if is_sentence or is_out_of_memory(error):
            raise
        raise ValueError(f"{said}: {in_words(error)}{place}; {remedy}") from error


def in_words(error: BaseException) -> str:
    """Format an error in one line: its class, and the first line of its message if it has one."""
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])


def _origin(error: BaseException) -> tuple[str, str]:
    """Return the package that raised an error, and the last line of the user's code on the way.

    The user's code is all that is outside of fokker, contextlib, hydra and `_OTHERS`.
    """
    package, place, trace = "", "", error.__traceback__
    while trace is not None:
        package = str(trace.tb_frame.f_globals.get("__name__", "")).split(".")[0]
        if package not in ("fokker", "contextlib", "hydra", *_OTHERS):
            code = trace.tb_frame.f_code
            place = f" ({package}, line {trace.tb_lineno}, in {code.co_name})"
        trace = trace.tb_next
    return package, place
