"""Hydra's errors about what was typed, in one sentence each."""

from collections.abc import Sequence
from difflib import get_close_matches

from hydra.errors import HydraException, MissingConfigException, OverrideParseException

QUOTES = (
    "a value with other characters than letters from a to z, digits, blanks and _/-+.$%*@?| wants "
    "double quotes inside single ones"
)
# Lines of hydra's that repeat what was typed, point below it, or lead to its manual.
NO_REASONS = ("Error parsing override", "LexerNoViableAlt", " ", "See https://")


def sentence(error: HydraException, overrides: Sequence[str]) -> str:
    """What is wrong with the overrides that hydra has refused."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        return _unknown_option(error, overrides)
    if isinstance(error, OverrideParseException):
        key, equals, value = error.override.partition("=")
        said = [line for line in str(error).splitlines() if not line.startswith(NO_REASONS)]
        why = f"{error.override} cannot be read{f' ({said[0]})' if said else ''}"
        is_plain = equals and value[:1] not in ("[", "{", "'", '"')
        return f"{why}; {QUOTES}: '{key}=\"{value}\"'" if is_plain else why
    # Its cause says which value the key cannot have.
    is_bare = str(error).startswith("Error merging override") and error.__cause__
    return f"{error}: {_first_line(error.__cause__)}" if is_bare else str(error)


def _unknown_option(error: MissingConfigException, overrides: Sequence[str]) -> str:
    group, _, name = str(error.missing_cfg_file).rpartition("/")
    known = sorted(error.options or ())
    near = get_close_matches(name, known, n=1)
    meant = f"did you mean {near[0]}? There are" if near else "choose one of"
    # `In 'experiment/mine': Could not find ...`, for what was not typed.
    place = "" if any(name in typed for typed in overrides) else f", in {_place(error)}"
    return f"{group}={name}{place} is not an option; {meant} {', '.join(known)}"


def _place(error: MissingConfigException) -> str:
    return str(error).partition("'")[2].partition("'")[0]


def _first_line(error: BaseException | None) -> str:
    return str(error).splitlines()[0]
