"""Docstrings are read by newcomers: they begin with a verb or a noun, not in the middle."""

import ast
import re
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"
#: Words that open a clause which leans on something that was not said.
LEANING = re.compile(r"(What|Whether|Of|That|As|How|Where|Who|When|Which|If|Those|Such|Not)\b")
#: What opens the docstring of a class or a module, but never that of a function.
ARTICLE = re.compile(r"(A|An|The)\s")


def docstrings(text: str) -> list[tuple[ast.AST, str]]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    return [(node, said) for node in found if (said := ast.get_docstring(node))]


def faults(text: str) -> list[str]:
    """Find first lines that break the rule."""
    wrong = []
    for node, said in docstrings(text):
        is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        if LEANING.match(said) or (is_function and ARTICLE.match(said)):
            wrong.append(said.splitlines()[0])
    return wrong


def test_a_fault_is_seen() -> None:
    function = 'def f(self):\n    """The sum."""\n'
    text = f'"""Of files."""\nclass A:\n    """The lock."""\n{function}'
    assert faults(text) == ["Of files.", "The sum."]


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    files = sorted(SRC.rglob("*.py"))
    assert len(files) > 300
    found = [f"{file.relative_to(SRC)}: {line}" for file in files
             for line in faults(file.read_text())]  # fmt: skip
    assert not found, "\n".join(found)
