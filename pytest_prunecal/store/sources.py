"""Digests of the files that stored artefacts are made by, as a session finds them."""

from __future__ import annotations

import hashlib
import inspect
import math
import re
import sys
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_prunecal.store.imports import (
    MOST_BYTES,
    MOST_FILES,
    Module,
    files_below,
    locate,
    reached,
    reached_within,
)
from pytest_prunecal.store.installed import version_of
from pytest_prunecal.study.digest import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import ModuleType

    from pytest_prunecal.study.extensions import Registrar

_PACKAGE = Path(__file__).parent.parent
_NAME = _PACKAGE.name


@cache
def package_digest(*parts: ModuleType, reached_from: ModuleType | None = None) -> str:
    """SHA-256, in hex, of the source of some of this package's modules.

    Modules are imported, not named by text: one that was renamed or is not there is not left out in silence.

    Args:
        parts: which; a package counts with all below it.
        reached_from: it counts as well, and so does every module of this package that it reaches by imports.

    Raises:
        FileNotFoundError: a part has no file, or a package no folder.
    """
    files = {path for part in parts for path in _files(_place(part))}
    if reached_from is not None:
        files |= reached_within(_PACKAGE, _files(_place(reached_from)))
    return Sources().of_files(_named(files))


def _named(files: Iterable[Path]) -> list[tuple[str, Path]]:
    """Files of this package, by their place in it."""
    return [(path.relative_to(_PACKAGE).as_posix(), path) for path in files]


def _place(part: ModuleType) -> Path:
    """The file of a module, the folder of a package."""
    path = Path(part.__file__ or part.__name__)
    place = path.parent if path.name == "__init__.py" else path
    if not place.exists():
        raise FileNotFoundError(f"{part.__name__}: there is no {place}")
    return place


class Sources:
    """Reads what artefacts are made by, each file once, and notices what is edited meanwhile.

    A process runs the code that it imported, which is not what lies in a file that was edited since. So
    whatever was edited after the session began has a digest that no other session's can equal.

    Args:
        started: when the session began, before it imported anything of the user's; in seconds since the
            epoch.
    """

    def __init__(self, started: float = math.inf) -> None:
        self._started = started
        self._read: dict[Path, tuple[tuple[int, ...], str]] = {}
        self._seen: dict[Path, tuple[int, ...]] = {}
        self._codes: dict[tuple[str, ...], str] = {}
        self._package = ""
        self._unread: set[Path] = set()
        self._told: set[Path] = set()

    def of_files(self, files: Iterable[tuple[str, Path]]) -> str:
        """SHA-256, in hex, of files, in any order, each with the name that it counts under.

        Raises:
            OSError: a file cannot be read.
        """
        state = hashlib.sha256()
        for name, path in sorted(files):
            state.update(f"{name}\0{self._file(path)}\0".encode())
        return state.hexdigest()

    def of_package(self) -> str:
        """SHA-256, in hex, of all of this package."""
        self._package = self._package or self.of_files(_named(_files(_PACKAGE)))
        return self._package

    def of_code(self, entry: Any, registrars: Sequence[Registrar] = ()) -> str:  # noqa: ANN401 - a user's own
        """SHA-256, in hex, of what a user registered and of every first-party module that its code reaches.

        Of installed packages that it reaches the versions count. Of what has none, and of what is too much to
        read, it is the size and date of every file.

        Args:
            entry: `package.module:attribute`, or the object itself, whose state may come from wherever it
                was registered.
            registrars: the modules that registered it.

        Raises:
            OSError: a file cannot be read.
        """
        described, start = _origin(entry, registrars)
        key = (described, *sorted(str(module.path) for module in start))
        if key not in self._codes:
            found = reached(start)
            files = self.of_files((module.name, module.file) for module in found.modules)
            installed = {self._installed(module) for module in found.others if not _is_ours(module)}
            self._unread |= found.unread
            unread = {f"{place.name} {self._of_dates(place)}" for place in found.unread}
            text = "\0".join([described, files, *sorted(installed), *sorted(unread)])
            self._codes[key] = hashlib.sha256(text.encode()).hexdigest()
        return self._codes[key]

    def _installed(self, module: Module) -> str:
        """Which version of an installed module this is."""
        name = module.name.partition(".")[0]
        return f"{name} {version_of(module.path) or self._of_dates(module.outermost)}"

    def _of_dates(self, place: Path) -> str:
        """Digest of the size and date of a file, or of every file in a folder."""
        files = {path.relative_to(place).as_posix(): path for path in files_below(place)} or {"": place}
        dates = {}
        for name, path in files.items():
            status = self._seen.setdefault(path, _status(path))
            dates[name] = [status[0], status[2]] if status else []
        return digest(dates)

    def warnings(self) -> list[str]:
        """What the user should know of what is read, each told once."""
        told, self._told = self._told, self._told | self._unread
        return [
            f"{place} is too much code to look for imports in (over {MOST_FILES} files or "
            f"{MOST_BYTES // 1_000_000} MB), so the size and date of its files count, and what it imports "
            "from elsewhere does not; if it was installed, put its .dist-info folder beside it"
            for place in sorted(self._unread - told)
        ]

    def edited(self) -> Path | None:
        """A file that is no longer what was read; None if all are."""
        seen = {path: status for path, (status, _) in self._read.items()} | self._seen
        return next((path for path, status in seen.items() if _status(path) != status), None)

    def _file(self, path: Path) -> str:
        if path not in self._read:
            status, digest = _status(path), file_digest(path)
            if max(status[:2], default=0) > self._started * 1e9:
                digest = f"{digest} edited {max(status[:2])}"
            self._read[path] = (status, digest)
        return self._read[path][1]


def file_digest(path: Path) -> str:
    """SHA-256, in hex, of a file, read again only when it was changed; raises OSError if it cannot be."""
    return _file_digest(path, _status(path))


@lru_cache(maxsize=1024)
def _file_digest(path: Path, _: tuple[int, ...]) -> str:
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def _status(path: Path) -> tuple[int, ...]:
    """When a file was last changed, in ns, and what else tells it from another; empty if it is gone."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _origin(entry: Any, registrars: Sequence[Registrar]) -> tuple[str, list[Module]]:  # noqa: ANN401
    """What an entry is, in words that mean the same in every process, and the modules that it comes from."""
    if isinstance(entry, str):
        found = locate(entry.partition(":")[0])
        return entry, [found] if found else []
    bound = ""
    while isinstance(entry, partial):
        arguments = repr((entry.args, sorted(entry.keywords.items())))
        bound, entry = f"{bound} {_without_addresses(arguments)}", entry.func
    definition = entry if inspect.isroutine(entry) or inspect.isclass(entry) else type(entry)
    definition = inspect.unwrap(definition)
    module, name = str(definition.__module__), getattr(definition, "__qualname__", "")
    start = [*_modules_of(definition)]
    # A function or class of a module is all in there; whatever else there is, somebody made where it was
    # registered, of what can be reached from there.
    if bound or getattr(sys.modules.get(module), name, None) is not entry:
        start += [Module(*registrar) for registrar in registrars]
    return f"{module}:{name}{bound}", start


def _modules_of(definition: Any) -> Iterator[Module]:  # noqa: ANN401 - a function or a class
    try:
        file = inspect.getsourcefile(definition)
    except TypeError:  # a built-in one: made by no file of the user's
        return
    if file and Path(file).is_file():
        yield Module(definition.__module__, Path(file))


def _without_addresses(text: str) -> str:
    return re.sub(" at 0x[0-9a-fA-F]+", "", text)


def _is_ours(module: Module) -> bool:
    return module.name.partition(".")[0] == _NAME


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [file for file in path.rglob("*") if file.suffix in (".py", ".npz")]
