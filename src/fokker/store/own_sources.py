"""The source of a user's own classes, with the files of their own that it imports."""

import ast
import hashlib
import importlib.util
import inspect
import json
import linecache
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from inspect import isfunction
from pathlib import Path
from types import ModuleType
from typing import Any, final

#: Packages whose source is not hashed; a version stands for it.
OTHERS = ("fokker", "torch", "lightning", "torchmetrics")
MAIN = "__main__"


def source_of(classes: Sequence[Any], allow: Sequence[str] = ()) -> str:
    """A hash of the files in which classes and functions of the user's own stand.

    With each file go the modules beneath `allow` that it imports, and those that these import, as
    its text says: nothing is run to find them. A class of a notebook stands in its cell. Neither
    the names of files nor where they lie are hashed, so that they may be moved.

    Args:
        classes: those of fokker, torch or lightning among them are left out.
        allow: packages of the user's.
    Returns:
        nothing where no class is the user's.
    Raises:
        ValueError: if a source cannot be read, as of a class that was typed into a shell.
    """
    own = [c for c in classes if c.__module__.split(".")[0] not in OTHERS]
    if not own:
        return ""
    files = _Files(tuple(allow))
    roots = [files.of(c) for c in own]
    return hashlib.sha256(json.dumps([roots, files.found]).encode()).hexdigest()


@final
@dataclass
class _Files:
    """The files that were read, in the order in which imports lead to them.

    Attributes:
        allow: packages of the user's.
        found: the sha256 of each file, and the places in this list of those that it imports.
    """

    allow: tuple[str, ...]
    found: list[tuple[str, list[int]]] = field(default_factory=list)
    _known: dict[str, int | None] = field(default_factory=dict)

    def of(self, own: Any) -> int:
        """The place of the file in which a class or a function stands."""
        name = str(own.__module__)
        try:
            is_cell = name == MAIN and not _stands_in_file(own)
            place = None if is_cell else self._module(name)
        except OSError:
            place = None
        if place is not None:
            return place
        text = _cell(own)
        if text is None:
            raise ValueError(
                f"the source of {name}.{own.__qualname__} must be there to tell one model from "
                "another, and is not; write the class into a file, such as my_parts.py, and name "
                f"it so: _target_: my_parts.{own.__qualname__} and allow_targets=[my_parts]"
            )
        return self._add(text.encode(), "")

    def _module(self, name: str) -> int | None:
        """The place of a module's file; none if it has none, as a folder, or is not there."""
        if name not in self._known:
            self._known[name] = None
            file = _file_of(name)
            if file is not None:
                self._known[name] = len(self.found)
                self._add(*file)
        return self._known[name]

    def _add(self, content: bytes, package: str) -> int:
        place, imports = len(self.found), list[int]()
        self.found.append((hashlib.sha256(content).hexdigest(), imports))
        for name in dict.fromkeys(_imported(content, package)):
            if any(f"{name}.".startswith(f"{prefix}.") for prefix in self.allow):
                found = self._read(name)
                imports += [] if found is None else [found]
        return place

    def _read(self, name: str) -> int | None:
        """The place of an imported module's file, which must be readable if it is there."""
        try:
            return self._module(name)
        except OSError as error:
            raise ValueError(
                f"the source of {name} must be there to tell one model from another, and is not: "
                f"{error.strerror or error}; let it be read, or take {name.partition('.')[0]} out "
                "of allow_targets"
            ) from error


def _stands_in_file(own: Any) -> bool:
    """Whether a class of a script is found in the script's file, and not in a cell."""
    with suppress(OSError, TypeError):
        return bool(inspect.getsource(own))
    return False


def _cell(own: Any) -> str | None:
    """The cell of a notebook in which a class stands: it has no file, but its functions know it."""
    for part in [own, *vars(own).values()]:
        text = "".join(linecache.getlines(part.__code__.co_filename)) if isfunction(part) else ""
        with suppress(SyntaxError):
            for node in ast.walk(ast.parse(text)):
                if not isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                    continue
                if node.name == own.__name__:
                    return text
    return None


def _imported(content: bytes, package: str) -> Iterator[str]:
    """The dotted names that a file's text imports, modules among them.

    Args:
        content: of the file; a compiled one tells nothing.
        package: of which it is a part, which relative imports begin with.
    """
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                # `import a.b` gives a, and by it all that a holds; `import a.b as c` gives a.b.
                if alias.asname is None:
                    yield alias.name.partition(".")[0]
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            yield base
            for alias in node.names:
                yield f"{base}.{alias.name}"


def _file_of(name: str) -> tuple[bytes, str] | None:
    """The bytes of a module's file and the package that it is in; none if there is no file."""
    module, spec = sys.modules.get(name), _spec(name)
    package = getattr(module, "__package__", None)
    if package is None:
        package = (spec.parent or "") if spec is not None else ""
    place = spec.origin if spec is not None else getattr(module, "__file__", None)
    if not isinstance(place, str) or (spec is not None and not spec.has_location):
        return None
    read = getattr(spec.loader, "get_data", None) if spec is not None else None
    return (read(place) if read is not None else Path(place).read_bytes()), package


def _spec(name: str) -> ModuleSpec | None:
    """Where a module is, also one that is not imported yet; no package is run to look into it."""
    module: ModuleType | None = sys.modules.get(name)
    if module is not None:
        return getattr(module, "__spec__", None)
    parent = name.rpartition(".")[0]
    with suppress(ImportError, ValueError, AttributeError):
        if not parent:
            return importlib.util.find_spec(name)
        above = _spec(parent)
        places = None if above is None else above.submodule_search_locations
        if places is not None:
            finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
            found = (find(name, places) for find in finders if find is not None)
            return next((spec for spec in found if spec is not None), None)
    return None
