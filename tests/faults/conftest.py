"""What the commands come to when nothing disturbs them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import planted
import pytest


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """The state after a command, which is run once in a session."""
    known: dict[tuple[str, ...], dict[str, Any]] = {}

    def of(*typed: str, state: Callable[[], dict[str, Any]] = planted.run_state) -> dict[str, Any]:
        if typed not in known:
            before = Path.cwd()
            os.chdir(tmp_path_factory.mktemp("undisturbed"))
            said = planted.command(*typed)
            assert (said.code, said.err) == (0, "")
            known[typed] = state()
            os.chdir(before)
        return known[typed]

    return of


@pytest.fixture
def disk(workdir: Path) -> Iterator[str]:
    """A small disk at `outputs`: `mounted`, or `limited` where nothing can be mounted."""
    leave = planted.mounted(workdir / "outputs")
    yield "mounted" if leave else "limited"
    if leave:
        leave()
