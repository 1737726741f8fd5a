"""Passwords and keys, which stand in nothing that is written, said or sent."""

import os
import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
# `scheme://user:PASSWORD@host`, also with one slash, as a path writes it.
_URL = re.compile(r"(?<=:/)(/?[^\s/:@'\"<>]*):[^\s'\"]+@")
_WORDS = r"api_?key|password|passwd|pwd|secret|access_?token|auth_?token"
# A key that is called so, and its value, in an override, YAML, JSON or a URL.
_NAMED = re.compile(
    rf"({_WORDS})(\\?[\"']?\s?[=:]\s?\\?[\"']?)([^\s\"'\\,;&{{}}\[\]<>]+)", re.IGNORECASE
)
_CALLED = re.compile(rf"(?:{_WORDS}|token)$", re.IGNORECASE)
#: What a key has that is none.
_NOTHING = re.compile(r"null|none|true|false|\*\*\*|\$|~", re.IGNORECASE)
_OF_ENVIRONMENT = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD)$")
#: What is shorter may stand in a text by chance.
SHORTEST = 8


def masked(text: str) -> str:
    """A text with three stars in the place of each password.

    Hidden are the password of a URL; what is given to a key such as `api_key` or `password`; and
    the value of an environment variable whose name ends with KEY, TOKEN, SECRET or PASSWORD, of at
    least 8 characters, with a digit if it may be a word.
    """
    if ":/" in text:
        text = _URL.sub(rf"\1:{MASK}@", text)
    text = _NAMED.sub(_hidden, text)
    for secret in _of_environment():
        text = text.replace(secret, MASK)
    return text


def masked_values(content: Any) -> Any:
    """Plain values, however nested, with their texts masked, and what a secret's key has too."""
    if isinstance(content, str):
        return masked(content)
    if isinstance(content, Mapping):
        return {
            key: MASK if _is_secret(key, value) else masked_values(value)
            for key, value in content.items()
        }
    if isinstance(content, (list, tuple)):
        return [masked_values(value) for value in content]
    return content


def without_password(text: str, url: str) -> str:
    """What another program says of a URL, without its password."""
    found = re.match(r"[^:]*://[^:/@]*:(.+)@", url)
    return masked(text.replace(found[1], MASK) if found else text)


def _is_secret(key: Any, value: Any) -> bool:
    is_text = isinstance(value, str) and value != "" and _NOTHING.match(value) is None
    return is_text and _CALLED.search(str(key)) is not None


def _hidden(found: re.Match[str]) -> str:
    name, between, value = found.groups()
    if _NOTHING.match(value):
        return found[0]
    # Of a number in JSON or a word in YAML, in which three stars alone are no value.
    is_bare = between.rstrip().endswith(":")
    return f'{name}{between}"{MASK}"' if is_bare else f"{name}{between}{MASK}"


def _of_environment() -> list[str]:
    """Values of variables that are called secrets, the longest first."""
    values = [
        value
        for name, value in os.environ.items()
        if _OF_ENVIRONMENT.search(name)
        and len(value) >= SHORTEST
        and (any(map(str.isdigit, value)) or not name.endswith(("KEY", "TOKEN")))
        and (os.sep not in value or not os.path.exists(value))
    ]
    return sorted(values, key=len, reverse=True)
