"""Signatures of fokker's own classes, read from their files: an import would wait for torch."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, final

from fokker.config.annotations import Types
from fokker.config.arguments import Signature
from fokker.config.definitions import PACKAGE, Definition, Definitions, name_of
from fokker.config.family import Family
from fokker.config.targets import FUNCTIONS


@final
class Signatures:
    """The signatures of the targets of a configuration; each file is read once.

    Args:
        package: the folder of `fokker`.
    """

    def __init__(self, package: Path = PACKAGE) -> None:
        self._definitions = Definitions(package)
        self._types = Types(self._definitions)

    def __call__(self, target: str) -> Signature:
        """Return the signature of a target; one that is not found takes anything."""
        found = self._definitions.find(target)
        name = target.rpartition(".")[2]
        if isinstance(found, Definition) and isinstance(found.node, ast.ClassDef):
            taken = self._of_class(found)
            return replace(
                taken,
                name=found.node.name,
                gives=self._types.of_class(found, found.node),
                is_class=True,
            )
        if isinstance(found, Definition) and isinstance(found.node, ast.FunctionDef):
            taken = self._of_function(found, found.node)
            is_target = target in FUNCTIONS
            gives = self._types.of(found.module, found.node.returns) if is_target else Any
            return replace(taken, name=name, gives=gives)
        return Signature(name, {}, True)

    def family(self, target: str) -> Family | None:
        """Return the family of a formulation; None if its class is not fokker's or none such."""
        found = self._definitions.find(target)
        if not isinstance(found, Definition) or not isinstance(found.node, ast.ClassDef):
            return None

        def said(name: str) -> Any:
            constant = self._definitions.constant(found, name)
            return ast.literal_eval(constant[1]) if constant else ()

        if not said("parts"):
            return None
        groups = self._definitions.constant(found, "groups")
        named = self._definitions.find_name(*groups) if groups else None
        return Family(
            data=said("data_groups"),
            parts=said("parts"),
            asked=said("asked"),
            inherited=dict(said("inherited")),
            gives=dict(said("given")),
            kinds=self._of_class(named).types if isinstance(named, Definition) else {},
        )

    def _of_class(self, found: Definition) -> Signature:
        """Return the signature of the constructor of a class."""
        node = found.node
        assert isinstance(node, ast.ClassDef)
        if any(name_of(decorator) == "dataclass" for decorator in node.decorator_list):
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
            above = self._definitions.find_name(found.module, base)
            if isinstance(above, Definition) and isinstance(above.node, ast.ClassDef):
                taken = self._of_class(above)
                if taken.types or taken.takes_all:
                    return taken
            elif above not in ("abc.ABC", "typing.Protocol"):
                is_plain = False
        return Signature("", {}, not is_plain, takes_more=not is_plain)

    def _fields(self, found: Definition) -> Iterator[tuple[str, Any, bool]]:
        """Yield the fields of a dataclass: name, type, and whether there is a default."""
        assert isinstance(found.node, ast.ClassDef)
        for base in found.node.bases:
            above = self._definitions.find_name(found.module, base)
            if isinstance(above, Definition) and isinstance(above.node, ast.ClassDef):
                yield from self._fields(above)
        for inner in found.node.body:
            if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
                if name_of(inner.annotation) == "ClassVar":
                    continue
                kind = self._types.of(found.module, inner.annotation)
                yield inner.target.id, kind, inner.value is not None

    def _of_function(self, found: Definition, node: ast.FunctionDef) -> Signature:
        given = node.args
        ordered = [*given.posonlyargs, *given.args]
        listed = [*ordered, *given.kwonlyargs]
        bare = ordered[: len(ordered) - len(given.defaults)]
        named = [a for a, value in zip(given.kwonlyargs, given.kw_defaults) if value is None]
        return Signature(
            node.name,
            {a.arg: self._types.of(found.module, a.annotation) for a in listed},
            takes_all=given.kwarg is not None,
            required=tuple(a.arg for a in [*bare, *named]),
            positional=tuple(a.arg for a in ordered),
            takes_more=given.vararg is not None,
        )


def _without_self(taken: Signature) -> Signature:
    """Return the signature of a constructor without the object itself."""
    _, *positional = taken.positional
    types = {name: kind for name, kind in taken.types.items() if name != taken.positional[0]}
    needed = tuple(name for name in taken.required if name in types)
    return replace(taken, types=types, required=needed, positional=tuple(positional))
