"""Overrides such as `+sde@sampler.sde=edm`, as hydra's own parser reads them.

In hydra's grammar the first `=` ends the key. So a key is parsed by itself, once for all values
that a sweep gives it, and a value is parsed only when it is asked for. Texts that are no overrides
by that grammar are read by the modules that use them: flags, tags, the parameters of a W&B sweep,
and texts that hydra has refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, final

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException

# Enough for a sweep of a thousand jobs, each with a few overrides of its own.
_MOST = 8192


@final
@dataclass(frozen=True)
class Word:
    """An override, divided into the parts of its key and its value.

    Attributes:
        text: the text as typed.
        kind: whether it changes, adds (`+`), adds in any case (`++`) or deletes (`~`); None where
            hydra cannot read the key, which is empty then.
        key: the key or group.
        package: the package that a group's option goes to; None where none is named.
        value_text: the text behind `=`, without blanks before it; None where there is no `=`.
    """

    text: str
    kind: OverrideType | None
    key: str = ""
    package: str | None = None
    value_text: str | None = None

    @property
    def name(self) -> str:
        """Return the key and its package, without signs: `sde@sampler.sde`."""
        return self.key if self.package is None else f"{self.key}@{self.package}"

    @property
    def typed_key(self) -> str:
        """Return the text before `=`: `+sde@sampler.sde`."""
        return self.text.partition("=")[0]

    @property
    def is_set(self) -> bool:
        """Tell whether the key gets a value: it is readable and not deleted."""
        return self.kind not in (None, OverrideType.DEL) and self.value_text is not None

    @property
    def parsed(self) -> Override:
        """Return the override as hydra reads it; it is cached, so do not change it.

        Raises:
            HydraException: if hydra cannot read the value.
        """
        return _parsed(self.text)

    @property
    def value(self) -> Any:
        """Return the value without quotes and escapes: plain Python, or hydra's sweep.

        Raises:
            HydraException: if hydra cannot read it.
        """
        return self.parsed.value()

    @property
    def plain_value(self) -> str:
        """Return the value as text: without quotes and escapes if it is text, else as typed.

        Raises:
            HydraException: if hydra cannot read it.
        """
        return self.value if isinstance(self.value, str) else self.value_text or ""

    @property
    def options(self) -> list[str]:
        """Return the options chosen for a group: one, or those of a list; none for a sweep.

        Raises:
            HydraException: if hydra cannot read the value.
        """
        if self.parsed.is_sweep_override():
            return []
        names = self.value if isinstance(self.value, list) else [self.value]
        return [str(name) for name in names]


@lru_cache(maxsize=_MOST)
def read(text: str) -> Word:
    """Read an override; its value is not parsed yet."""
    typed_key, equals, value = text.partition("=")
    key = _key(typed_key + equals)
    if key is None:
        return Word(text, None)
    value_text = value.lstrip(" \t") if equals else None
    return Word(text, key.type, key.key_or_group, key.package, value_text)


def read_key(typed_key: str) -> Word:
    """Read the part of an override before its `=`."""
    return read(f"{typed_key}=")


def parse(texts: Sequence[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Parse overrides and their values; a sweep gives one override several values.

    Args:
        texts: the overrides as typed.
        loader: the loader that knows the options of groups, for `glob(*)`.
    Raises:
        OverrideParseException: if hydra cannot read one.
    """
    return OverridesParser.create(config_loader=loader).parse_overrides(list(texts))


@lru_cache(maxsize=_MOST)
def _parsed(text: str) -> Override:
    return parse([text])[0]


@lru_cache(maxsize=_MOST)
def _key(typed: str) -> Override | None:
    """Return an override without its value; None if hydra cannot read it."""
    try:
        return parse([typed])[0]
    except HydraException:
        return None
