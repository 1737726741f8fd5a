"""What code of the user's own raises before anything is written, as a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from fokker.machine.device import is_out_of_memory

#: Packages whose ValueErrors are no sentences of fokker's or of the user's.
_OTHERS = ("torch", "numpy", "lightning", "torchmetrics", "omegaconf")


@contextmanager
def own_code(said: str, remedy: str) -> Iterator[None]:
    """Let what code of the user's own raises in the block be one sentence.

    A ValueError that it raises itself is one already; and what does not fit into the memory is said
    where that is known.

    Args:
        said: what cannot be, such as `LetterDiffusion.way cannot be asked`.
        remedy: what to do.
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
    """An error in one line: its kind, and what it says, if it says anything."""
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])


def _origin(error: BaseException) -> tuple[str, str]:
    """The package that has raised an error, and the last place outside of fokker and others."""
    package, place, trace = "", "", error.__traceback__
    while trace is not None:
        package = str(trace.tb_frame.f_globals.get("__name__", "")).split(".")[0]
        if package not in ("fokker", "contextlib", "hydra", *_OTHERS):
            code = trace.tb_frame.f_code
            place = f" ({package}, line {trace.tb_lineno}, in {code.co_name})"
        trace = trace.tb_next
    return package, place
