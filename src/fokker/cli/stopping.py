"""Ending a sweep or a search in the middle."""

from collections.abc import Iterator
from contextlib import contextmanager

from fokker.disk import DiskError

#: Told to who stops it when its jobs are done.
TABLES = "stopped when the tables were written, before all figures were drawn"


@contextmanager
def said(code: int) -> Iterator[None]:
    """Of a sweep that has ended by `code`, let the disk not refuse a second time in words."""
    try:
        yield
    except DiskError:
        if code:
            raise SystemExit(code) from None
        raise
