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


def no_key(key: str, known: Sequence[str]) -> str:
    """That there is no such key, and which there are beside it."""
    parent, _, name = key.rpartition(".")
    plus = f"; what else {parent} may take has a plus: +{key}=..." if parent else ""
    return f"{key} is not a key; {one_of(name, known)}{plus}"


def one_of(name: str, known: Sequence[str]) -> str:
    """Which names there are, and which of them may have been meant."""
    near = get_close_matches(name, known, n=1)
    return f"{f'did you mean {near[0]}? There are' if near else 'choose one of'} {', '.join(known)}"


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
