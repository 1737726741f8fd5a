"""The types that annotations in fokker's files mean, without an import of these files."""

import ast
import builtins
import collections.abc
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import NoneType, new_class
from typing import Any, final

from fokker.config.definitions import Definition, Definitions, name_of

#: Modules whose names mean the same type here as in the file that imports them.
KNOWN_MODULES = {"typing": typing, "collections.abc": collections.abc, "builtins": builtins}
#: Classes of other packages that are networks, which their names alone do not tell.
NETWORKS = ("lightning.LightningModule", "torchmetrics.Metric")
#: Special methods that a stand-in keeps; the others are Python's own machinery.
SPECIAL = ("__call__", "__getitem__", "__iter__", "__len__")


@final
class Types:
    """The types of annotations, with stand-ins that have the name, bases and methods of a class.

    Args:
        definitions: the definitions in fokker's files.
    """

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._classes: dict[str, type] = {}

    def of(self, module: str, node: ast.AST | None) -> Any:
        """Return the type that an annotation means; `Any` where it is not known."""
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                return self.of(module, ast.parse(node.value, mode="eval").body)
            return NoneType if node.value is None else node.value  # Also the `...` of a tuple.
        if isinstance(node, ast.BinOp):
            kinds = (self.of(module, node.left), self.of(module, node.right))
            return typing.Union[kinds]  # noqa: UP007 (types that | may not join)
        if isinstance(node, ast.Subscript):
            return self._generic(module, node)
        found = self._definitions.find_name(module, node) if node is not None else ""
        if isinstance(found, str):
            return self._of_others(found)
        if isinstance(found.node, ast.ClassDef):
            return self.of_class(found, found.node)
        return self.of(found.module, found.node)

    def _of_others(self, dotted: str) -> Any:
        """Return a type that is not fokker's: one of Python's, a stand-in for a class, or `Any`."""
        module, _, name = dotted.rpartition(".")
        if module in KNOWN_MODULES:
            return getattr(KNOWN_MODULES[module], name, Any)
        return self._unread(dotted) if module else Any

    def _generic(self, module: str, node: ast.Subscript) -> Any:
        """Return a type with parameters, such as `list[int]` or `Literal["a", "b"]`."""
        origin = self.of(module, node.value)
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if origin is typing.Literal:
            return typing.Literal[tuple(ast.literal_eval(option) for option in inner)]
        if origin is Callable:
            return Callable[..., self.of(module, inner[-1])]
        if origin is Any:
            return Any
        kinds = tuple(self.of(module, each) for each in inner)
        return origin[kinds if len(kinds) > 1 else kinds[0]]

    def of_class(self, found: Definition, node: ast.ClassDef) -> type:
        """Return the stand-in for a class, with its name, bases, methods and annotated values."""
        name = self._public(found, node)
        if name in self._classes:
            return self._classes[name]
        bases: list[Any] = []
        for base in node.bases:
            plain = base.value if isinstance(base, ast.Subscript) else base
            above = self._definitions.find_name(found.module, plain)
            if isinstance(above, Definition) and isinstance(above.node, ast.ClassDef):
                bases.append(self.of_class(above, above.node))
            elif isinstance(above, str):
                known = {"abc.ABC": ABC, "typing.Protocol": typing.Protocol}
                bases.append(known.get(above) or self._unread(above))
        body: dict[str, Any] = {"__module__": name.rpartition(".")[0]}
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef):
                if inner.name in SPECIAL or not inner.name.startswith("__"):
                    body[inner.name] = _method(inner)
            elif isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
                body.update({inner.target.id: _literal(inner.value)} if inner.value else {})
        made = new_class(node.name, tuple(bases), {}, lambda space: space.update(body))
        self._classes[name] = made
        return made

    def _unread(self, dotted: str) -> type:
        """Return the stand-in for a class of another package, of which only the name is known."""
        if dotted not in self._classes:
            module, _, name = dotted.rpartition(".")
            body = {"__module__": module, "__class_getitem__": classmethod(_itself)}
            bases = (self._unread("torch.nn.Module"),) if dotted in NETWORKS else ()
            self._classes[dotted] = type(name, bases, body)
        return self._classes[dotted]

    def _public(self, found: Definition, node: ast.ClassDef) -> str:
        """Return the dotted name of a class in the outermost package that has it."""
        parts = found.module.split(".")
        names = (".".join([*parts[:count], node.name]) for count in range(1, len(parts) + 1))
        return next(name for name in names if self._definitions.find(name) == found)


def _literal(node: ast.expr) -> Any:
    """Return the value of an attribute of a class if it is a literal, else None."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _method(node: ast.FunctionDef) -> Any:
    """Return the stand-in for a method or a property, abstract if the original is."""

    def unread(self: object) -> None:
        """Do nothing."""

    names = {name_of(decorator) for decorator in node.decorator_list}
    made = abstractmethod(unread) if "abstractmethod" in names else unread
    return property(made) if "property" in names else made


def _itself(kind: type, item: object) -> type:
    """Return a class itself, whatever its parameter is."""
    return kind
