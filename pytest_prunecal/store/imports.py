"""The modules that some code reaches, found by reading it: nothing of it is imported or run.

Reading finds more than running would: an import that only stands in a function counts too, though none under
`if TYPE_CHECKING:`, which never runs. What no reading can find is an import whose name is computed; the
module's whole package is then taken to be reached.
"""

from __future__ import annotations

import ast
import os
import sys
from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from pkgutil import get_importer
from typing import TYPE_CHECKING
from zipimport import ZipImportError, zipimporter

from pytest_prunecal.store.installed import is_first_party

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_IMPORTING = {"import_module", "__import__"}
_COMPUTED = {"iter_modules", "walk_packages", "spec_from_file_location", "run_path", "run_module"}
"""Functions that import, or list what is there to import, by names that reading cannot know."""
MOST_FILES, MOST_BYTES = 1000, 5_000_000
"""How much is read, at most, to find what some code reaches: some seconds. Few people's own code is more."""


@dataclass(frozen=True, order=True)
class Module:
    """A module to start from, or one that was reached.

    Attributes:
        name: by which it is imported; relative imports are relative to it.
        path: its file.
    """

    name: str
    path: Path

    @property
    def package(self) -> str:
        """What its relative imports start from."""
        return self.name if self.path.stem == "__init__" else self.name.rpartition(".")[0]

    @property
    def outermost(self) -> Path:
        """The folder of the outermost package around it, or its own file."""
        depth = self.package.count(".") + 1 if self.package else 0
        return self.path.parents[min(depth, len(self.path.parents)) - 1] if depth else self.path

    @property
    def file(self) -> Path:
        """Its file, or the zip file that it is in."""
        if self.path.exists():
            return self.path
        return next((folder for folder in self.path.parents if folder.is_file()), self.path)


@dataclass(frozen=True)
class Reached:
    """What some code reaches.

    Attributes:
        modules: of the user's own.
        others: installed ones outside the standard library, the outermost of a package for all of it.
        unread: outermost folders, or files, of the user's own that were too much to read: what else lies in
            them, and what they import, is not known.
    """

    modules: frozenset[Module]
    others: frozenset[Module]
    unread: frozenset[Path] = frozenset()


@dataclass
class _Imports:
    """What one file imports: absolute names, and whether some of them are computed."""

    names: set[str] = field(default_factory=set)
    computed: bool = False


def reached(start: Iterable[Module]) -> Reached:
    """Follow imports from some modules on, through all that lies outside the installed packages.

    What is nearest is read first, and `MOST_FILES` and `MOST_BYTES` at most: the same in every process.
    """
    found: set[Module] = set()
    others: set[Module] = set()
    unread: set[Path] = set()
    pending = deque(sorted(start))
    size = 0
    while pending:
        module = pending.popleft()
        if module in found or module in others or module.outermost in unread:
            continue
        if not is_first_party(module.path):
            others.add(module)
            continue
        if len(found) == MOST_FILES or size > MOST_BYTES:
            unread.add(module.outermost)
            continue
        found.add(module)
        content = _content(module)
        size += len(content)
        pending.extend(_parents(module.name))
        imports = _parsed(module, content)
        for name in sorted(imports.names):
            pending.extend(_modules(name))
        if imports.computed:
            pending.extend(_siblings(module))
    return Reached(frozenset(found), frozenset(others), frozenset(unread))


def reached_within(package: Path, start: Iterable[Path]) -> set[Path]:
    """Follow imports from some files of a package on, through that package alone; the start is part of it.

    Computed names are not followed, and neither is the outermost `__init__`, by which all of it is imported.

    Args:
        package: its folder, which is called as it is.
        start: Python files in it.
    """
    found: set[Path] = set()
    pending = list(start)
    while pending:
        path = pending.pop()
        if path in found:
            continue
        found.add(path)
        module = Module(_dotted(package, path), path)
        for name in {module.name, *_parsed(module, _content(module)).names}:
            pending.extend(_run_for(package, name))
    return found


def _dotted(package: Path, path: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _run_for(package: Path, name: str) -> Iterator[Path]:
    """The files of a package that run when a name is imported: the module, and the packages around it."""
    place = package.parent.joinpath(*name.split("."))
    while package in place.parents:
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                yield file
        place = place.parent


def locate(name: str) -> Module | None:
    """Find a module by its name without importing it; None if there is none, or it has no file."""
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if loaded:
        return Module(name, Path(loaded))
    spec = _spec(name)
    # A namespace package has no file, a built-in module no path.
    return Module(name, Path(spec.origin)) if spec and spec.has_location and spec.origin else None


def _modules(name: str) -> Iterator[Module]:
    """A module and the packages around it, whose `__init__` runs before it."""
    head = name.partition(".")[0]
    if head in sys.stdlib_module_names:
        return
    outermost = locate(head)
    if outermost and not is_first_party(outermost.path):
        yield outermost  # which stands for all of an installed package
        return
    if module := locate(name):
        yield module
    yield from _parents(name)


def _parents(name: str) -> Iterator[Module]:
    while name := name.rpartition(".")[0]:
        if module := locate(name):
            yield module


def _spec(name: str) -> ModuleSpec | None:
    """Like `importlib.util.find_spec`, which would import the packages around a module."""
    head, *rest = name.split(".")
    try:
        spec = find_spec(head)
    except (ImportError, ValueError):  # as modules that somebody made by hand give
        return None
    for number in range(len(rest)):
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = _below(spec.submodule_search_locations, ".".join([head, *rest[: number + 1]]))
    return spec


def _below(places: Iterable[str], name: str) -> ModuleSpec | None:
    """Find a module in a package's folders; a namespace package collects its parts from all of them."""
    parts: list[str] = []
    for place in places:
        finder = get_importer(place)
        found = finder.find_spec(name) if finder else None
        if found and found.loader:
            return found
        parts += found.submodule_search_locations or [] if found else []
    if not parts:
        return None
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = parts
    return spec


def _siblings(module: Module) -> Iterator[Module]:
    """Every module of the outermost package around a module; of a bare one, all that lies beside it."""
    folder = module.outermost if module.package else module.path.parent
    prefix = module.package.partition(".")[0]
    for path in (file for file in files_below(folder) if file.suffix == ".py"):
        parts = [*([prefix] if prefix else []), *path.relative_to(folder).with_suffix("").parts]
        yield Module(".".join(part for part in parts if part != "__init__"), path)


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder, in order, but hidden ones and Python's cache; none if it is no folder."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__pycache__")))
        yield from (Path(place, name) for name in sorted(files))


def _content(module: Module) -> bytes:
    """The text of a module; compiled ones, and what is no Python, import nothing that could be read."""
    if module.path.suffix != ".py":
        return b""
    try:
        if module.file == module.path:
            return module.path.read_bytes()
        return zipimporter(str(module.file)).get_data(str(module.path))
    except (OSError, ZipImportError):
        return b""


@lru_cache(maxsize=1024)
def _parsed(module: Module, content: bytes) -> _Imports:
    imports = _Imports()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return imports
    for node in _run(tree):
        if isinstance(node, ast.Import):
            imports.names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute("." * node.level + (node.module or ""), module.package)
            # Whatever is imported from a package may be a module of it.
            imports.names.update([base, *(f"{base}.{alias.name}" for alias in node.names)])
        elif isinstance(node, ast.Call):
            _called(node, module, imports)
    return imports


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only type checkers read."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.If) and _name_of(node.test) == "TYPE_CHECKING":
            pending.extend(node.orelse)
        else:
            pending.extend(ast.iter_child_nodes(node))


def _name_of(node: ast.expr) -> str:
    """What an expression is called: `b` of `b` and of `a.b`."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _called(node: ast.Call, module: Module, imports: _Imports) -> None:
    """Note a call that imports."""
    name = _name_of(node.func)
    if name in _COMPUTED:
        imports.computed = True
    elif name in _IMPORTING:
        text = node.args[0] if node.args else None
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            imports.names.add(_absolute(text.value, module.package))
        else:
            imports.computed = True


def _absolute(name: str, package: str) -> str:
    """An absolute name: `..blocks` in package `nets.vgg` is `nets.blocks`."""
    relative = name.lstrip(".")
    level = len(name) - len(relative)
    if not level:
        return name
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}.{relative}".strip(".") if relative else base
