"""Passwords and keys, which are masked in all that is written, printed or sent."""

import os
import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
# `scheme://user:PASSWORD@host`, also with one slash, as a path writes it.
_URL = re.compile(r"(?<=:/)(/?[^\s/:@'\"<>]*):[^\s'\"]+@")
_WORDS = r"api_?key|password|passwd|pwd|secret|access_?token|auth_?token"
# A key with such a name, and its value, in an override, YAML, JSON or a URL.
_NAMED = re.compile(
    rf"({_WORDS})(\\?[\"']?\s?[=:]\s?\\?[\"']?)([^\s\"'\\,;&{{}}\[\]<>]+)", re.IGNORECASE
)
_CALLED = re.compile(rf"(?:{_WORDS}|token)$", re.IGNORECASE)
#: The beginnings of values that are no secret.
_NOTHING = re.compile(r"null|none|true|false|\*\*\*|\$|~", re.IGNORECASE)
_OF_ENVIRONMENT = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD)$")
#: The least length of a secret: a shorter value may occur in a text by coincidence.
SHORTEST = 8


def masked(text: str) -> str:
    """Return a text with three stars in the place of each password.

    It masks the password of a URL; the value of a key such as `api_key` or `password`; and the
    value of an environment variable whose name ends with KEY, TOKEN, SECRET, PASSWORD or PASSWD.
    Such a value has at least 8 characters, for KEY and TOKEN a digit, and is no path that exists.
    """
    if ":/" in text:
        text = _URL.sub(rf"\1:{MASK}@", text)
    text = _NAMED.sub(_hidden, text)
    for secret in _of_environment():
        text = text.replace(secret, MASK)
    return text


def masked_values(content: object) -> Any:
    """Return plain values, however nested, with texts and the values of secret keys masked."""
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
    """Return what another program says about a URL, without the URL's password."""
    found = re.match(r"[^:]*://[^:/@]*:(.+)@", url)
    return masked(text.replace(found[1], MASK) if found else text)


def _is_secret(key: object, value: object) -> bool:
    is_text = isinstance(value, str) and value != "" and _NOTHING.match(value) is None
    return is_text and _CALLED.search(str(key)) is not None


def _hidden(found: re.Match[str]) -> str:
    name, between, value = found.groups()
    if _NOTHING.match(value):
        return found[0]
    # In JSON and YAML the stars are a value only with quotes, which a bare value does not have.
    is_bare = between.rstrip().endswith(":")
    return f'{name}{between}"{MASK}"' if is_bare else f"{name}{between}{MASK}"


def _of_environment() -> list[str]:
    """Return the values of variables whose names mark them as secrets, the longest first."""
    values = [
        value
        for name, value in os.environ.items()
        if _OF_ENVIRONMENT.search(name)
        and len(value) >= SHORTEST
        and (any(map(str.isdigit, value)) or not name.endswith(("KEY", "TOKEN")))
        and (os.sep not in value or not os.path.exists(value))
    ]
    return sorted(values, key=len, reverse=True)
