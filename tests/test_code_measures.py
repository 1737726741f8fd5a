"""The measures of the code that keep it readable; what breaks one is named, with its number."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
FILE_LINES, FUNCTION_LINES, IGNORED_TYPES, ANY_SHARE = 300, 60, 8, 0.1
CONFIG_LINES, CONFIG_LETTERS = 25, 120


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def says_any(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether an annotation of the signature holds the name Any."""
    given = function.args
    taken = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    said = [one.annotation for one in taken if one is not None] + [function.returns]
    names = (node for one in said if one is not None for node in ast.walk(one))
    return any(isinstance(node, ast.Name) and node.id == "Any" for node in names)


def test_files_and_functions_are_short() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {str(p): n for p, n in lines.items() if n > FILE_LINES} == {}
    lengths = {
        f"{path}:{f.lineno} {f.name}": (f.end_lineno or 0) - f.lineno + 1
        for path in SOURCES
        for f in functions(path)
    }
    assert {name: n for name, n in lengths.items() if n > FUNCTION_LINES} == {}


def test_hardly_a_type_is_ignored() -> None:
    found = [
        f"{path}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"#\s*type:\s*ignore", line)
    ]
    assert len(found) <= IGNORED_TYPES, found


def test_few_signatures_say_any() -> None:
    """Any switches the type checker off: an object that is only looked at is an `object`."""
    said = [f"{path}:{f.lineno} {f.name}" for path in SOURCES for f in functions(path)
            if says_any(f)]  # fmt: skip
    count = sum(1 for path in SOURCES for _ in functions(path))
    assert len(said) < ANY_SHARE * count, f"{len(said)} of {count}: {said}"


@pytest.mark.parametrize("folder", ["conf", "sweeps"])
def test_configuration_files_are_short(folder: str) -> None:
    texts = {p: p.read_text(encoding="utf-8").splitlines() for p in (ROOT / folder).rglob("*.yaml")}
    assert texts
    assert {str(p): len(lines) for p, lines in texts.items() if len(lines) > CONFIG_LINES} == {}
    long = {str(p): max(map(len, lines), default=0) for p, lines in texts.items()}
    assert {name: n for name, n in long.items() if n > CONFIG_LETTERS} == {}
