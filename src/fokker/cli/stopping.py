"""Ending a sweep or a search in the middle."""

from collections.abc import Iterator
from contextlib import contextmanager

from fokker.disk import DiskError


@contextmanager
def said(code: int) -> Iterator[None]:
    """Of a sweep that has ended by `code`, let the disk not refuse a second time in words."""
    try:
        yield
    except DiskError:
        if code:
            raise SystemExit(code) from None
        raise
