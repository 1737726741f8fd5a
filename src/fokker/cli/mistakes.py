"""Hydra's errors about what was typed, in one sentence each."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import final

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

QUOTES = (
    "a value with other characters than letters from a to z, digits, blanks and _/-+.$%*@?| wants "
    "double quotes inside single ones"
)
# Lines of hydra's that repeat what was typed, point below it, or lead to its manual.
NO_REASONS = ("Error parsing override", "LexerNoViableAlt", " ", "See https://")


@final
class UnknownKey(ValueError):
    """A key that its place does not take.

    Args:
        key: without a prefix.
        said: of it.
        known: names that its place takes.
        more: to be said after these.
    """

    def __init__(self, key: str, said: str, known: Sequence[str], more: str = "") -> None:
        super().__init__(f"{key} {said}; {one_of(key.rpartition('.')[2], known)}{more}")
        self.key, self.said, self.known = key, said, known


def sentence(error: HydraException, overrides: Sequence[str]) -> str:
    """What is wrong with the overrides that hydra has refused."""
    text = str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        return _unknown_option(error, overrides)
    if isinstance(error, OverrideParseException):
        key, equals, value = error.override.partition("=")
        said = [line for line in text.splitlines() if not line.startswith(NO_REASONS)]
        why = f"{error.override} cannot be read{f' ({said[0]})' if said else ''}"
        is_plain = equals and value[:1] not in ("[", "{", "'", '"')
        return f"{why}; {QUOTES}: '{key}=\"{value}\"'" if is_plain else why
    if text.startswith("Ambiguous value for argument"):
        typed = _quoted(text)
        key, _, value = typed.partition("=")
        return (
            f"{typed} has several values, which need -m: fokker -m {typed}; one that is a list has "
            f"brackets: {key}=[{value}]"
        )
    # Its cause says which value the key cannot have.
    is_bare = text.startswith("Error merging override") and error.__cause__
    return f"{text}: {_first_line(error.__cause__)}" if is_bare else text


def _unknown_option(error: MissingConfigException, overrides: Sequence[str]) -> str:
    group, _, name = str(error.missing_cfg_file).rpartition("/")
    known = sorted(error.options or ())
    # `In 'experiment/mine': Could not find ...`, for what was not typed.
    place = "" if any(name in typed for typed in overrides) else f", in {_quoted(str(error))}"
    return f"{group}={name}{place} is not an option; {one_of(name, known)}"


def unknown_key(error: HydraException) -> str:
    """The key that hydra does not know; nothing if it is another error."""
    text = str(error)
    return _quoted(text) if text.startswith("Could not override") else ""


def one_of(name: str, known: Sequence[str]) -> str:
    """Which names there are, and which of them may have been meant."""
    near = get_close_matches(name, known, n=1)
    return f"{f'did you mean {near[0]}? There are' if near else 'choose one of'} {', '.join(known)}"


def of_value(error: OmegaConfBaseException) -> str:
    """What is wrong with a value that refers to another, or cannot be what it is."""
    key = f"{error.full_key}: " if error.full_key else ""
    return f"{key}{str(error).splitlines()[0]}"


def was_interrupted(error: BaseException | None) -> bool:
    """Whether an error is what became of Ctrl-C in a library."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _quoted(text: str) -> str:
    """What stands between the first quotes."""
    return text.partition("'")[2].partition("'")[0]


def _first_line(error: BaseException | None) -> str:
    return str(error).splitlines()[0]
