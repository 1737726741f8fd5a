"""Texts in the plain values of a configuration, which hydra must not read once more."""

from collections.abc import Iterator


def texts(value: object) -> Iterator[str]:
    """Yield all texts in a value, names of keys among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, below in value.items():
            yield str(name)
            yield from texts(below)
    elif isinstance(value, list):
        for entry in value:
            yield from texts(entry)


def check_final(plain: object, key: str) -> None:
    """Refuse a text that still has a reference: hydra would resolve it unchecked.

    Raises:
        ValueError: with the key and the text.
    """
    for text in texts(plain):
        if "${" in text:
            raise ValueError(
                f"{key} must hold no text with ${{ behind a backslash, which would be read once "
                f"more, got {text}; remove the backslash"
            )
