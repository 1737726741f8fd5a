"""Mistakes in one sentence each: unknown keys, and values that are invalid or refer to nothing."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import final

from omegaconf.errors import OmegaConfBaseException

#: Patterns of OmegaConf's messages on a value, and the words for each here.
OF_VALUES = (
    (r"Interpolation key '(.*)' not found", r"refers to ${\1}, and there is no such key"),
    (r".*Environment variable '(.*)' not found.*", r"needs the environment variable \1; set it, or "
     r"say what else: ${oc.env:\1,VALUE}"),
    (r"Unsupported interpolation type (.*)", r"uses ${\1:...}, and nothing is called so; choose "
     "oc.env or run_name"),
    (r"Recursive interpolation detected.*", "refers to itself; give it a value"),
    (r"(?:Missing mandatory value|InterpolationToMissing).*", "has no value yet; give it one"),
    (r"field '.*' is not Optional", "must not be null"),
    (r"Value '(.*)' is not a valid bool.*", r"must be true or false, got \1"),
    (r"Value '(.*)' .*could not be converted to Integer", r"must be a whole number, got \1"),
    (r"Cannot convert '.*' to string: '(.*)'", r"must be a text, got \1"),
    (r"Cannot merge DictConfig with .*", "has keys below it and must keep them; set one of these"),
    (r".*(?:mismatched input|token recognition|no viable alternative|extraneous input|missing).*",
     "has a ${ that is not closed, or cannot be read; write ${KEY}"),
)  # fmt: skip


@final
class UnknownKey(ValueError):
    """A key that its place does not take.

    Args:
        key: the key, without a prefix.
        said: the words that follow the key and say what is wrong.
        known: the names that its place takes.
        more: the words that follow these names.
    """

    def __init__(self, key: str, said: str, known: Sequence[str], more: str = "") -> None:
        which = one_of(key.rpartition(".")[2], known) if known else "leave it out"
        super().__init__(f"{key} {said}; {which}{more}")
        self.key, self.said, self.known = key, said, known


def one_of(name: str, known: Sequence[str]) -> str:
    """List the known names, and the one that may have been meant."""
    near = get_close_matches(name, known, n=1)
    return f"{f'did you mean {near[0]}? There are' if near else 'choose one of'} {', '.join(known)}"


def of_value(error: OmegaConfBaseException, key: str = "") -> str:
    """Say what is wrong with a value that is invalid or refers to nothing.

    Args:
        error: the error of OmegaConf.
        key: the key of the value, where the error does not know it.
    """
    return said_of(str(error.msg or error), str(error.full_key or key))


def said_of(text: str, key: str) -> str:
    """Translate OmegaConf's message on a value into a sentence that begins with its key."""
    line = text.strip().partition("\n")[0]
    for pattern, said in OF_VALUES:
        found = re.fullmatch(pattern, line)
        if found:
            return f"{key} {found.expand(said)}".strip()
    return f"{key} cannot be: {line}" if key else line


def was_interrupted(error: BaseException | None) -> bool:
    """Tell whether an error is what a library has made of Ctrl-C."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
