"""The list of mistakes fits the source: it cannot rot unseen."""

import ast
from collections import Counter
from pathlib import Path

import mistakes
import platform_mistakes
import pytest
from mistake import Mistake

MISTAKES = (*mistakes.MISTAKES, *platform_mistakes.MISTAKES)
#: Tests that `make test` leaves out.
LATER = ("cluster", "thorough", "long")
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
        tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        asked = [f for f in functions if f.name == name or (not name and f.name[:5] == "test_")]
        assert any(not _is_later(function) for function in asked), test


def _is_later(function: ast.FunctionDef) -> bool:
    """Whether a test has a mark by which `make test` leaves it out."""
    marks = [ast.unparse(mark) for mark in function.decorator_list]
    return any(f"pytest.mark.{name}" in marks for name in LATER)


def test_no_two_are_the_same() -> None:
    assert max(Counter(mistake.what for mistake in MISTAKES).values()) == 1
    assert max(Counter((m.file, m.old, m.new) for m in MISTAKES).values()) == 1
