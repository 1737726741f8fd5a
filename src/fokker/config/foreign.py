"""The rules for overrides that come from others: a model's record, or a server's parameters.

They may set what is the configuration's own: options of its groups by their plain names, which are
no paths, and keys below its groups. Everything else is refused, not only what is known to be bad.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import final

from hydra.core.override_parser.types import Override

from fokker.config.keys import KEYS
from fokker.config.option_names import is_plain
from fokker.config.option_words import group_of, is_group
from fokker.config.texts import texts
from fokker.store.whereabouts import config_dir

#: Groups whose options are files of overrides for the whole configuration.
OF_WORDS = ("experiment", "sweeps")
#: Keys that no file and no server may set: what hydra does, what is imported, where it writes.
NEVER = ("hydra", "allow_targets", "output_dir")
_KEY = re.compile(r"[^\W\d]\w*(?:/[^\W\d]\w*)*(?:\.[\w-]+)*")


@final
class NotOwn(ValueError):
    """The error for an override of others that is not one of the configuration's own."""


@cache
def _groups() -> frozenset[str]:
    """Return the groups that fokker's own configuration has."""
    return frozenset(folder.name for folder in config_dir().iterdir() if folder.is_dir())


def check_own(override: Override, sources: Sequence[object]) -> None:
    """Refuse an override of others that is not one of the configuration's own.

    Args:
        override: the parsed override.
        sources: the configuration's sources, where options are found.
    Raises:
        NotOwn: with the override and the rule.
    """
    line, key = override.input_line, str(override.key_or_group)
    first = group_of(key)
    own = {*_groups(), *OF_WORDS, *(name for name in KEYS if "." not in name)} - {*NEVER}
    is_own = first in own or (first not in NEVER and is_group(sources, first))
    if _KEY.fullmatch(key) is None or not is_own:
        raise NotOwn(f"{line}, of which {key or 'nothing'} is no key of the configuration's")
    if override.is_sweep_override():
        raise NotOwn(f"{line}, which must give {key} one value")
    package = override.package
    if package is not None:
        place = group_of(package)
        if place in NEVER or not (place in _groups() or is_group(sources, place)):
            raise NotOwn(f"{line}, whose package {package or '_global_'} is not one of its groups")
    value = override.value()
    for text in texts(value):
        if "\\$" in text or re.search(r"\$\{\s*oc\.(create|decode)\b", text):
            raise NotOwn(f"{line}, which makes more of a text than it is")
    names = value if isinstance(value, list) else [value]
    if is_group(sources, key) and not all(map(is_plain, names)):
        raise NotOwn(f"{line}, whose option is a path")
