"""Overrides such as `+sde@sampler.sde=edm`, as hydra's own parser reads them.

In hydra's grammar the first `=` ends the key, so that a key is parsed by itself, once for all
values that a sweep gives it, and a value when it is asked for. What is no override by that grammar
is read where it stands: flags, tags, the parameters of a W&B sweep, and what hydra has refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, final

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException

# Of a sweep's thousand jobs each has a few of its own.
_MOST = 8192


@final
@dataclass(frozen=True)
class Word:
    """An override, of which hydra can read the key.

    Attributes:
        text: as typed.
        kind: whether it changes, adds (`+`), adds in any case (`++`) or deletes (`~`); null where
            hydra cannot read the key, which is empty then.
        key: the key or group.
        package: where a group's option goes; null where none is named.
        value_text: what stands behind `=`, without blanks before it; null where there is no `=`.
    """

    text: str
    kind: OverrideType | None
    key: str = ""
    package: str | None = None
    value_text: str | None = None

    @property
    def name(self) -> str:
        """The key and its package, without signs: `sde@sampler.sde`."""
        return self.key if self.package is None else f"{self.key}@{self.package}"

    @property
    def typed_key(self) -> str:
        """All that stands before `=`: `+sde@sampler.sde`."""
        return self.text.partition("=")[0]

    @property
    def is_set(self) -> bool:
        """Whether the key gets a value: it is neither deleted nor unreadable."""
        return self.kind not in (None, OverrideType.DEL) and self.value_text is not None

    @property
    def parsed(self) -> Override:
        """All of it, as hydra reads it; not to be changed, for others have the same.

        Raises:
            HydraException: if hydra cannot read the value.
        """
        return _parsed(self.text)

    @property
    def value(self) -> Any:
        """The value without quotes and escapes: plain Python, or hydra's sweep of several.

        Raises:
            HydraException: if hydra cannot read it.
        """
        return self.parsed.value()

    @property
    def plain_value(self) -> str:
        """The value as a text, which has no quotes and escapes if it is one; else as typed.

        Raises:
            HydraException: if hydra cannot read it.
        """
        return self.value if isinstance(self.value, str) else self.value_text or ""

    @property
    def options(self) -> list[str]:
        """The options that are chosen for a group: one, or those of a list; of a sweep none.

        Raises:
            HydraException: if hydra cannot read the value.
        """
        if self.parsed.is_sweep_override():
            return []
        names = self.value if isinstance(self.value, list) else [self.value]
        return [str(name) for name in names]


@lru_cache(maxsize=_MOST)
def read(text: str) -> Word:
    """An override, whose value is not looked at yet."""
    typed_key, equals, value = text.partition("=")
    key = _key(typed_key + equals)
    if key is None:
        return Word(text, None)
    value_text = value.lstrip(" \t") if equals else None
    return Word(text, key.type, key.key_or_group, key.package, value_text)


def read_key(typed_key: str) -> Word:
    """What stands before the `=` of an override alone."""
    return read(f"{typed_key}=")


def parse(texts: Sequence[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Overrides with their values, which may be several for each.

    Args:
        texts: as typed.
        loader: knows the options of groups, for `glob(*)`.
    Raises:
        OverrideParseException: if hydra cannot read one.
    """
    return OverridesParser.create(config_loader=loader).parse_overrides(list(texts))


@lru_cache(maxsize=_MOST)
def _parsed(text: str) -> Override:
    return parse([text])[0]


@lru_cache(maxsize=_MOST)
def _key(typed: str) -> Override | None:
    """An override without its value; null if hydra cannot read it."""
    try:
        return parse([typed])[0]
    except HydraException:
        return None
