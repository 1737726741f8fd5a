"""The list of mistakes fits the source: it cannot rot unseen."""

import ast
from collections import Counter
from pathlib import Path

import pytest
from mistakes import MISTAKES, Mistake

TESTS = Path(__file__).parents[1]
SOURCE = TESTS.parent / "src" / "fokker"


@pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake.what for mistake in MISTAKES])
def test_a_mistake_can_be_planted(mistake: Mistake) -> None:
    right = (SOURCE / mistake.file).read_text(encoding="utf-8")
    assert right.count(mistake.old) == 1
    wrong = right.replace(mistake.old, mistake.new)
    # Another program, and one that can be run: no mere change of spaces or of a comment.
    assert ast.dump(ast.parse(wrong)) != ast.dump(ast.parse(right))
    for test in mistake.tests:
        file, _, name = test.partition("::")
        assert f"def {name or 'test_'}" in (TESTS / file).read_text(encoding="utf-8")


def test_no_two_are_the_same() -> None:
    assert max(Counter(mistake.what for mistake in MISTAKES).values()) == 1
    assert max(Counter((m.file, m.old, m.new) for m in MISTAKES).values()) == 1
