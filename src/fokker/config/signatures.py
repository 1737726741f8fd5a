"""What fokker's own classes take, read from their files: to import them would wait for torch."""

import ast
import builtins
import collections.abc
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import NoneType, new_class
from typing import Any, final

from fokker.config.arguments import Signature
from fokker.config.family import Family
from fokker.config.targets import FUNCTIONS

PACKAGE = Path(__file__).resolve().parents[1]
#: Names that mean the same type here as in the file that imports them.
KNOWN_MODULES = {"typing": typing, "collections.abc": collections.abc, "builtins": builtins}


#: Classes of others that are networks, which their names alone do not say.
NETWORKS = ("lightning.LightningModule", "torchmetrics.Metric")
#: Methods with such names count for what a class is; others are of python's own machinery.
SPECIAL = ("__call__", "__getitem__", "__iter__", "__len__")


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
        self._classes: dict[str, type] = {}

    def __call__(self, target: str) -> Signature:
        """Return what a target takes: anything, if it is not fokker's or is not found."""
        found = self._find(target)
        name = target.rpartition(".")[2]
        if isinstance(found, _Found) and isinstance(found.node, ast.ClassDef):
            taken = self._of_class(found)
            return replace(
                taken, name=found.node.name, gives=self._class(found, found.node), is_class=True
            )
        if isinstance(found, _Found) and isinstance(found.node, ast.FunctionDef):
            taken = self._of_function(found, found.node)
            is_target = target in FUNCTIONS
            gives = self._type(found.module, found.node.returns) if is_target else Any
            return replace(taken, name=name, gives=gives)
        return Signature(name, {}, True)

    def family(self, target: str) -> Family | None:
        """Return what a formulation's class says; none if it is not fokker's, or none such."""
        found = self._find(target)
        if not isinstance(found, _Found) or not isinstance(found.node, ast.ClassDef):
            return None

        def said(name: str) -> Any:
            constant = self._constant(found, name)
            return ast.literal_eval(constant[1]) if constant else ()

        if not said("parts"):
            return None
        groups = self._constant(found, "groups")
        named = self._find_name(*groups) if groups else None
        return Family(
            data=said("data_groups"),
            parts=said("parts"),
            asked=said("asked"),
            inherited=dict(said("inherited")),
            gives=dict(said("given")),
            kinds=self._of_class(named).types if isinstance(named, _Found) else {},
        )

    def _constant(self, found: _Found, name: str) -> tuple[str, ast.AST] | None:
        """Return where a class, or one above it, sets an attribute: the module and the value."""
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
            above = self._find_name(found.module, base)
            if isinstance(above, _Found) and isinstance(above.node, ast.ClassDef):
                value = self._constant(above, name)
                if value is not None:
                    return value
        return None

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
                return _parsed(file)
        return []

    # ---- parameters ----------------------------------------------------------------------

    def _of_class(self, found: _Found) -> Signature:
        """Return what the constructor of a class takes."""
        node = found.node
        assert isinstance(node, ast.ClassDef)
        if any(_name(decorator) == "dataclass" for decorator in node.decorator_list):
            fields = list(self._fields(found))
            names = tuple(name for name, _, _ in fields)
            needed = tuple(name for name, _, has_default in fields if not has_default)
            types = {name: kind for name, kind, _ in fields}
            return Signature("", types, False, needed, names, takes_more=False)
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                return _without_self(self._of_function(found, inner))
        is_plain = True
        for base in node.bases:
            above = self._find_name(found.module, base)
            if isinstance(above, _Found) and isinstance(above.node, ast.ClassDef):
                taken = self._of_class(above)
                if taken.types or taken.takes_all:
                    return taken
            elif above not in ("abc.ABC", "typing.Protocol"):
                is_plain = False
        return Signature("", {}, not is_plain, takes_more=not is_plain)

    def _fields(self, found: _Found) -> Iterator[tuple[str, Any, bool]]:
        """Find the fields of a dataclass: name, type, and whether there is a default."""
        assert isinstance(found.node, ast.ClassDef)
        for base in found.node.bases:
            above = self._find_name(found.module, base)
            if isinstance(above, _Found) and isinstance(above.node, ast.ClassDef):
                yield from self._fields(above)
        for inner in found.node.body:
            if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
                if _name(inner.annotation) == "ClassVar":
                    continue
                kind = self._type(found.module, inner.annotation)
                yield inner.target.id, kind, inner.value is not None

    def _of_function(self, found: _Found, node: ast.FunctionDef) -> Signature:
        given = node.args
        ordered = [*given.posonlyargs, *given.args]
        listed = [*ordered, *given.kwonlyargs]
        bare = ordered[: len(ordered) - len(given.defaults)]
        named = [a for a, value in zip(given.kwonlyargs, given.kw_defaults) if value is None]
        return Signature(
            node.name,
            {a.arg: self._type(found.module, a.annotation) for a in listed},
            takes_all=given.kwarg is not None,
            required=tuple(a.arg for a in [*bare, *named]),
            positional=tuple(a.arg for a in ordered),
            takes_more=given.vararg is not None,
        )

    def _class(self, found: _Found, node: ast.ClassDef) -> type:
        """Return what stands for a class: of its name, its bases and the names of its methods."""
        name = self._public(found, node)
        if name in self._classes:
            return self._classes[name]
        bases: list[Any] = []
        for base in node.bases:
            plain = base.value if isinstance(base, ast.Subscript) else base
            above = self._find_name(found.module, plain)
            if isinstance(above, _Found) and isinstance(above.node, ast.ClassDef):
                bases.append(self._class(above, above.node))
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
        """Return what stands for a class of others, of which no more is known than its name."""
        if dotted not in self._classes:
            module, _, name = dotted.rpartition(".")
            body = {"__module__": module, "__class_getitem__": classmethod(_itself)}
            bases = (self._unread("torch.nn.Module"),) if dotted in NETWORKS else ()
            self._classes[dotted] = type(name, bases, body)
        return self._classes[dotted]

    def _public(self, found: _Found, node: ast.ClassDef) -> str:
        """Return the dotted name of a class, by the first package that has it."""
        parts = found.module.split(".")
        names = (".".join([*parts[:count], node.name]) for count in range(1, len(parts) + 1))
        return next(name for name in names if self._find(name) == found)

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
            return self._of_others(found)
        if isinstance(found.node, ast.ClassDef):
            return self._class(found, found.node)
        return self._type(found.module, found.node)

    def _of_others(self, dotted: str) -> Any:
        """Return a type that is not fokker's: python's own, or what stands for a class."""
        module, _, name = dotted.rpartition(".")
        if module in KNOWN_MODULES:
            return getattr(KNOWN_MODULES[module], name, Any)
        return self._unread(dotted) if module else Any

    def _generic(self, module: str, node: ast.Subscript) -> Any:
        """Return such as `list[int]` or `Literal["a", "b"]`."""
        origin = self._type(module, node.value)
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if origin is typing.Literal:
            return typing.Literal[tuple(ast.literal_eval(option) for option in inner)]
        if origin is Callable:
            return Callable[..., self._type(module, inner[-1])]
        if origin is Any:
            return Any
        kinds = tuple(self._type(module, each) for each in inner)
        return origin[kinds if len(kinds) > 1 else kinds[0]]


def _name(used: ast.AST) -> str:
    """Return the name of a decorator, called or not, or of an annotation, of something or not."""
    called = used.func if isinstance(used, ast.Call) else used
    called = called.value if isinstance(called, ast.Subscript) else called
    return called.id if isinstance(called, ast.Name) else ""


@cache
def _parsed(file: Path) -> list[ast.stmt]:
    """Return the statements of a file of fokker's, which do not change while it runs."""
    return ast.parse(file.read_text(encoding="utf-8")).body


def _without_self(taken: Signature) -> Signature:
    """Return what a constructor takes besides the object."""
    _, *positional = taken.positional
    types = {name: kind for name, kind in taken.types.items() if name != taken.positional[0]}
    needed = tuple(name for name in taken.required if name in types)
    return replace(taken, types=types, required=needed, positional=tuple(positional))


def _literal(node: ast.expr) -> Any:
    """Return the value of an attribute of a class, if it is written out; else none."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _method(node: ast.FunctionDef) -> Any:
    """Return what stands for a method or a property, written or not."""

    def unread(self: object) -> None:
        """Do nothing."""

    names = {_name(decorator) for decorator in node.decorator_list}
    made = abstractmethod(unread) if "abstractmethod" in names else unread
    return property(made) if "property" in names else made


def _itself(kind: type, item: object) -> type:
    """Return a class for a generic one, whatever it is of."""
    return kind
