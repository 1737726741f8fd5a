"""Names of options, which must be plain: a path would be read, and written, somewhere else."""

import re
from collections.abc import Mapping, Sequence

from fokker.config.option_words import is_group
from fokker.overrides import read

#: Groups that take a list of options, all of which are applied.
SEVERAL = ("evaluation", "metrics", "logger", "callbacks", "experiment")


def check_options(choices: Mapping[object, object]) -> None:
    """Refuse options whose names are paths: they would be read, and written, somewhere else.

    Args:
        choices: the name or the list of names that each group has; None: none was chosen.
    Raises:
        ValueError: with the group and the name.
    """
    for group, chosen in choices.items():
        for name in chosen if isinstance(chosen, list) else [chosen]:
            if not is_plain(name):
                plain = str(group).partition("@")[0]
                raise ValueError(
                    f"{group} must be the plain name of an option, without / or .., got {name}; "
                    f"put its file into FOLDER/{plain}/ and say --config-dir FOLDER {group}=NAME"
                )


def is_plain(name: object) -> bool:
    """Tell whether an option's name leads to no other folder; True for what is no text."""
    return not isinstance(name, str) or re.search(r"[/\\]|\.\.", name) is None


def check_typed_options(overrides: Sequence[str], sources: Sequence[object]) -> None:
    """Refuse such names in overrides, whose value may be a sweep or a list.

    A list of options for one part is refused too: hydra would merge them into one without a name.

    Raises:
        ValueError: as `check_options`.
    """
    for override in overrides:
        word = read(override)
        group, value = word.name, word.value_text or ""
        is_list = value[:1] == "[" and "," in value and group not in SEVERAL
        if value[:1] == "{" or (is_plain(value) and not is_list):
            continue
        if is_group(sources, word.key):
            check_options({group: value})
            names = value.strip("[]")
            raise ValueError(
                f"{group} must name one option, got {value}; say {group}=NAME, or for a run each "
                f"fokker -m {group}={names}"
            )
