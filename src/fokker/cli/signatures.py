"""What fokker's own classes take, read from their files: to import them would wait for torch."""

import ast
import builtins
import collections.abc
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, final

from fokker.cli.arguments import Signature

PACKAGE = Path(__file__).resolve().parents[1]
#: Names that mean the same type here as in the file that imports them.
KNOWN_MODULES = {"typing": typing, "collections.abc": collections.abc, "builtins": builtins}


class _Part(ABC):
    """What stands for an abstract class: a type whose values have a node of their own."""

    @abstractmethod
    def stands_for(self) -> str:
        """Name the class."""


@final
@dataclass(frozen=True)
class _Found:
    """A definition in a file: a class, a function or the value of a name."""

    module: str
    node: ast.AST


@final
class Signatures:
    """What the targets of a configuration take; each file is read once.

    Args:
        package: the folder of `fokker`.
    """

    def __init__(self, package: Path = PACKAGE) -> None:
        self._package = package
        self._modules: dict[str, dict[str, ast.AST | str]] = {}

    def __call__(self, target: str) -> Signature:
        """Return what a target takes: anything, if it is not fokker's or is not found."""
        found = self._find(target)
        name = target.rpartition(".")[2]
        if isinstance(found, _Found) and isinstance(found.node, ast.ClassDef):
            types, takes_all = self._of_class(found)
            return Signature(found.node.name, types, takes_all)
        if isinstance(found, _Found) and isinstance(found.node, ast.FunctionDef):
            return Signature(name, *self._of_function(found, found.node))
        return Signature(name, {}, True)

    # ---- definitions ---------------------------------------------------------------------

    def _find(self, dotted: str) -> _Found | str:
        """Return what a dotted name leads to, or the dotted name itself if it is not fokker's."""
        module, _, name = dotted.rpartition(".")
        if not module.startswith("fokker"):
            return dotted
        defined = self._names(module).get(name)
        if isinstance(defined, str):
            return self._find(defined)
        return dotted if defined is None else _Found(module, defined)

    def _names(self, module: str) -> dict[str, ast.AST | str]:
        """Return the definitions of a module by name, and for what it imports a dotted name."""
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
                return ast.parse(file.read_text(encoding="utf-8")).body
        return []

    # ---- parameters ----------------------------------------------------------------------

    def _of_class(self, found: _Found) -> tuple[dict[str, Any], bool]:
        """Return the types of the parameters of a class, and whether it takes any others."""
        node = found.node
        assert isinstance(node, ast.ClassDef)
        if any(_name(decorator) == "dataclass" for decorator in node.decorator_list):
            return dict(self._fields(found)), False
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                types, takes_all = self._of_function(found, inner)
                return dict(list(types.items())[1:]), takes_all  # Without self.
        is_plain = True
        for base in node.bases:
            above = self._find_name(found.module, base)
            if isinstance(above, _Found) and isinstance(above.node, ast.ClassDef):
                types, takes_all = self._of_class(above)
                if types or takes_all:
                    return types, takes_all
            elif above not in ("abc.ABC", "typing.Protocol"):
                is_plain = False
        return {}, not is_plain

    def _fields(self, found: _Found) -> Iterator[tuple[str, Any]]:
        assert isinstance(found.node, ast.ClassDef)
        for base in found.node.bases:
            above = self._find_name(found.module, base)
            if isinstance(above, _Found) and isinstance(above.node, ast.ClassDef):
                yield from self._fields(above)
        for inner in found.node.body:
            if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
                yield inner.target.id, self._type(found.module, inner.annotation)

    def _of_function(self, found: _Found, node: ast.FunctionDef) -> tuple[dict[str, Any], bool]:
        listed = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        types = {a.arg: self._type(found.module, a.annotation) for a in listed}
        return types, node.args.kwarg is not None

    # ---- types ---------------------------------------------------------------------------

    def _find_name(self, module: str, node: ast.AST) -> _Found | str:
        """Return what a name in a file leads to."""
        if isinstance(node, ast.Attribute):
            before = self._find_name(module, node.value)
            return self._find(f"{before}.{node.attr}") if isinstance(before, str) else ""
        if not isinstance(node, ast.Name):
            return ""
        defined = self._names(module).get(node.id, f"builtins.{node.id}")
        return self._find(defined) if isinstance(defined, str) else _Found(module, defined)

    def _type(self, module: str, node: ast.AST | None) -> Any:
        """Return the type that an annotation means, as far as it matters; else any."""
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                return self._type(module, ast.parse(node.value, mode="eval").body)
            return NoneType if node.value is None else node.value  # Or dots, of a tuple.
        if isinstance(node, ast.BinOp):
            kinds = (self._type(module, node.left), self._type(module, node.right))
            return typing.Union[kinds]  # noqa: UP007 (types that | may not join)
        if isinstance(node, ast.Subscript):
            return self._generic(module, node)
        found = self._find_name(module, node) if node is not None else ""
        if isinstance(found, str):
            return _of_others(found)
        if isinstance(found.node, ast.ClassDef):
            is_final = any(_name(decorator) == "final" for decorator in found.node.decorator_list)
            return type(found.node.name, () if is_final else (_Part,), {})
        return self._type(found.module, found.node)

    def _generic(self, module: str, node: ast.Subscript) -> Any:
        """Return such as `list[int]` or `Literal["a", "b"]`."""
        origin = self._type(module, node.value)
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if origin is typing.Literal:
            return typing.Literal[tuple(ast.literal_eval(option) for option in inner)]
        if origin is Callable:
            return Callable[..., Any]
        if origin is Any:
            return Any
        kinds = tuple(self._type(module, each) for each in inner)
        return origin[kinds if len(kinds) > 1 else kinds[0]]


def _name(decorator: ast.AST) -> str:
    """Return the name of a decorator, whether it is called or not."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return called.id if isinstance(called, ast.Name) else ""


def _of_others(dotted: str) -> Any:
    """Return a type that is not fokker's: of python's own, torch's tensors, or any."""
    module, _, name = dotted.rpartition(".")
    if name == "Tensor":
        return type("Tensor", (), {})
    known = KNOWN_MODULES.get(module)
    return Any if known is None else getattr(known, name, Any)
