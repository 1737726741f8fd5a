"""Definitions in fokker's files, found by their dotted names without being imported."""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import final

PACKAGE = Path(__file__).resolve().parents[1]


@final
@dataclass(frozen=True)
class Definition:
    """A definition in a file: a class, a function or the value of a name."""

    module: str
    node: ast.AST


@final
class Definitions:
    """The definitions in fokker's files, each of which is read once.

    Args:
        package: the folder of `fokker`.
    """

    def __init__(self, package: Path = PACKAGE) -> None:
        self._package = package
        self._modules: dict[str, dict[str, ast.AST | str]] = {}

    def find(self, dotted: str) -> Definition | str:
        """Return what a dotted name leads to, or the dotted name itself if it is not fokker's."""
        module, _, name = dotted.rpartition(".")
        if not module.startswith("fokker"):
            return dotted
        defined = self._names(module).get(name)
        if isinstance(defined, str):
            return self.find(defined)
        return dotted if defined is None else Definition(module, defined)

    def find_name(self, module: str, node: ast.AST) -> Definition | str:
        """Return what a name in a file leads to; an empty text if it is no name."""
        if isinstance(node, ast.Attribute):
            before = self.find_name(module, node.value)
            return self.find(f"{before}.{node.attr}") if isinstance(before, str) else ""
        if not isinstance(node, ast.Name):
            return ""
        defined = self._names(module).get(node.id, f"builtins.{node.id}")
        return self.find(defined) if isinstance(defined, str) else Definition(module, defined)

    def constant(self, found: Definition, name: str) -> tuple[str, ast.AST] | None:
        """Return the module and the value where a class, or a base of it, sets an attribute."""
        assert isinstance(found.node, ast.ClassDef)
        for inner in found.node.body:
            if isinstance(inner, ast.Assign):
                target: ast.expr = inner.targets[0]
            elif isinstance(inner, ast.AnnAssign):
                target = inner.target
            else:
                continue
            if isinstance(target, ast.Name) and target.id == name and inner.value is not None:
                return found.module, inner.value
        for base in found.node.bases:
            above = self.find_name(found.module, base)
            if isinstance(above, Definition) and isinstance(above.node, ast.ClassDef):
                value = self.constant(above, name)
                if value is not None:
                    return value
        return None

    def _names(self, module: str) -> dict[str, ast.AST | str]:
        """Return the definitions of a module by name; an imported name has its dotted name."""
        if module not in self._modules:
            names: dict[str, ast.AST | str] = {}
            for node in self._statements(module):
                if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                    names[node.name] = node
                elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    names[node.targets[0].id] = node.value
                elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    names[node.target.id] = node.value or node.annotation
                elif isinstance(node, ast.ImportFrom):
                    for alias in node.names:
                        names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                elif isinstance(node, ast.Import):
                    for alias in node.names:
                        names[alias.asname or alias.name] = alias.name
            self._modules[module] = names
        return self._modules[module]

    def _statements(self, module: str) -> list[ast.stmt]:
        place = self._package.joinpath(*module.split(".")[1:])
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return _parsed(file)
        return []


def name_of(used: ast.AST) -> str:
    """Return the name of a decorator without its call, or of an annotation without parameters."""
    called = used.func if isinstance(used, ast.Call) else used
    called = called.value if isinstance(called, ast.Subscript) else called
    return called.id if isinstance(called, ast.Name) else ""


@cache
def _parsed(file: Path) -> list[ast.stmt]:
    """Return the statements of one of fokker's files, which do not change while it runs."""
    return ast.parse(file.read_text(encoding="utf-8")).body
