"""The source of a user's own classes, with the user's own files that it imports."""

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

#: Packages whose source is not hashed, since a version identifies it.
OTHERS = ("fokker", "torch", "lightning", "torchmetrics")
MAIN = "__main__"


def source_of(classes: Sequence[object], allow: Sequence[str] = ()) -> str:
    """Return a hash of the files that define the user's own classes and functions.

    The hash includes the modules beneath `allow` that a file imports, and those that these import.
    They are found in the text of the files, and nothing is run for it. A class of a notebook is
    found in its cell. Neither names nor places of files are hashed, so that they may be moved.

    Args:
        classes: the classes and functions; those of `OTHERS` are left out.
        allow: the packages of the user.
    Returns:
        the hash; an empty text if no class is the user's.
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
        allow: the packages of the user.
        found: the sha256 of each file, and the places in this list of the files that it imports.
    """

    allow: tuple[str, ...]
    found: list[tuple[str, list[int]]] = field(default_factory=list)
    _known: dict[str, int | None] = field(default_factory=dict)

    def of(self, own: Any) -> int:
        """Return the place in `found` of the file that defines a class or a function."""
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
        """Return the place of a module's file; none for a folder or a module that is not there."""
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
        """Return the place of an imported module's file, and refuse one that cannot be read."""
        try:
            return self._module(name)
        except OSError as error:
            raise ValueError(
                f"the source of {name} must be there to tell one model from another, and is not: "
                f"{error.strerror or error}; make it readable, or take "
                f"{name.partition('.')[0]} out of allow_targets"
            ) from error


def _stands_in_file(own: Any) -> bool:
    """Tell whether a class of `__main__` is defined in a script's file, and not in a cell."""
    with suppress(OSError, TypeError):
        return bool(inspect.getsource(own))
    return False


def _cell(own: Any) -> str | None:
    """Return the text of the notebook cell that defines a class, or none.

    The class itself has no file, but its functions know the cell.
    """
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
    """Yield the dotted names that a file's text imports; they may be modules or not.

    Args:
        content: the bytes of the file; nothing is found in a compiled one.
        package: the package of the file, which relative imports start from.
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
    """Return the bytes of a module's file and the module's package; none if there is no file."""
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
    """Return the spec of a module, even of one that is not imported yet.

    No package is imported for it, since that would run code.
    """
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
