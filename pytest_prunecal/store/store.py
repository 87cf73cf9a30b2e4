"""The store: artefacts by the digest of what made them, each made once and never half-written."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.digest import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Content = TypeVar("_Content")
_DAMAGED = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError),
    *(SafetensorError, PrunecalError),
)
"""What reading an entry raises that is not what was written, whatever became of it."""


class Artefact(NamedTuple):
    """Something that the store keeps, and what makes it.

    Attributes:
        kind: what it is, which names its folder, such as `base`.
        key: digest of what made it; the caller answers for its being complete.
        suffix: of the file.
        write: makes it at the path it is given. If it fails or is killed, nothing is stored and the next
            process that waits makes it instead.
    """

    kind: str
    key: str
    suffix: str
    write: Callable[[Path], None]


@dataclass(frozen=True)
class Kind(Generic[_Content]):
    """A sort of thing that the store can remember.

    Attributes:
        folder: where in the store its entries lie, such as `evaluation`.
        suffix: of their files.
        save: writes one to a path; an OSError or SafetensorError means that it cannot be kept.
        load: reads it back; raises one of `_DAMAGED` if the file is no such thing.
    """

    folder: str
    suffix: str
    save: Callable[[_Content, Path], None]
    load: Callable[[Path], _Content]


@dataclass(frozen=True)
class Remembered(Generic[_Content]):
    """What `Store.remember` gives.

    Attributes:
        content: the thing itself.
        reused: whether the store had it, instead of its being made now.
        problem: why it could not be kept; empty if it is.
    """

    content: _Content
    reused: bool = False
    problem: str = ""


class Store:
    """A content-addressed cache, shared by all workers of a machine and, as a URL, by machines.

    Args:
        url: a directory, or an fsspec URL such as `s3://bucket/prunecal`; entries of a URL are kept in
            the user's cache directory too.

    Raises:
        PrunecalError: the place cannot be written, or its fsspec driver is missing.
    """

    def __init__(self, url: str) -> None:
        self._remote: Any = None
        if "://" in url and not url.startswith("file://"):
            try:
                fsspec = import_module("fsspec")  # slow to import, and most stores are folders
                self._remote, self._remote_root = fsspec.core.url_to_fs(url)
            except (ImportError, ValueError) as error:
                raise PrunecalError(f"store {url}: {error}") from None
            self.root = Path.home() / ".cache" / "prunecal" / digest(url)[:16]
        else:
            self._remote_root = ""
            self.root = Path(url.removeprefix("file://"))
        try:
            self._prepare()
        except OSError as error:
            raise PrunecalError(
                f"store {url}: cannot be written ({error.strerror}); give another with --prunecal-store"
            ) from None

    def obtain(self, artefact: Artefact) -> Path:
        """Find an entry's file, or make it; of several processes that want it, one does and others wait."""
        entry = self._found_or_made(artefact, wait=True)
        assert entry is not None  # noqa: S101 - it was waited for
        return entry

    def attempt(self, artefact: Artefact) -> Path | None:
        """As `obtain`, but None at once where another process is making the entry."""
        return self._found_or_made(artefact, wait=False)

    def read(self, artefact: Artefact, read: Callable[[Path], _Content]) -> _Content:
        """Read an entry, found or made; one that a disk or a copy has damaged is made anew.

        Args:
            artefact: what is wanted.
            read: gives the content of a file; raises one of `_DAMAGED` if it is no such artefact.
        """
        entry = self.obtain(artefact)
        try:
            return read(entry)
        except _DAMAGED:
            with self._lock(entry):
                self._make(entry, artefact.write)
            return read(entry)

    def remember(
        self,
        kind: Kind[_Content],
        key: str,
        make: Callable[[], _Content],
        *,
        anew: bool = False,
        unfit: Callable[[], str] | None = None,
    ) -> Remembered[_Content]:
        """Find a thing, or make and keep it; give what was made even where it cannot be kept.

        Of several processes that want it, one makes it and others wait. An entry that cannot be read is made
        anew. Nothing is made twice, and what the making raises comes out as it is: an OSError of `make` says
        nothing about the store.

        Args:
            kind: where it is kept, how it is written and how read.
            key: digest of what makes it; the caller answers for its being complete.
            make: makes it.
            anew: make it whether or not there is one.
            unfit: asked when it is made, says why it must not be kept; nothing if it may.
        """
        entry = self.root / kind.folder / f"{key}{kind.suffix}"
        if not anew and (found := _loaded(kind, entry)):
            return found
        with ExitStack() as stack:
            problem = ""
            try:
                stack.enter_context(self._lock(entry))
                if not anew and (found := self._arrived(kind, entry)):
                    return found
            except OSError as error:
                problem = str(error)
            content = make()
            problem = problem or (unfit() if unfit else "")
            if not problem:
                try:
                    self._make(entry, partial(kind.save, content))
                except (OSError, SafetensorError) as error:
                    problem = str(error)
            return Remembered(content, problem=problem)

    def find(self, place: str) -> Path | None:
        """Find an entry by its place in the store, such as `base/KEY.safetensors`; None if there is none."""
        entry = self.root / place
        if self._remote is not None and not entry.exists():
            with self._lock(entry):
                self._fetch(entry)
        return entry if entry.exists() else None

    def _arrived(self, kind: Kind[_Content], entry: Path) -> Remembered[_Content] | None:
        """What others have made by the time that the lock is held, here or on another machine."""
        return _loaded(kind, entry) or (_loaded(kind, entry) if self._fetch(entry) else None)

    def _place(self, artefact: Artefact) -> Path:
        return self.root / artefact.kind / f"{artefact.key}{artefact.suffix}"

    def _found_or_made(self, artefact: Artefact, *, wait: bool) -> Path | None:
        entry = self._place(artefact)
        if entry.exists():
            return entry
        with self._lock(entry, wait=wait) as held:
            if not held:
                return None
            if not entry.exists() and not self._fetch(entry):
                self._make(entry, artefact.write)
        return entry

    @contextmanager
    def _lock(self, entry: Path, *, wait: bool = True) -> Iterator[bool]:
        """Hold an entry's lock; gives False where another process does and this one is not to wait."""
        entry.parent.mkdir(parents=True, exist_ok=True)
        # The kernel drops the lock of a process that dies.
        lock = FileLock(self.root / "locks" / f"{entry.parent.name}-{entry.stem}.lock")
        try:
            lock.acquire(blocking=wait)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def _address(self, entry: Path) -> str:
        return f"{self._remote_root}/{entry.relative_to(self.root).as_posix()}"

    def _fetch(self, entry: Path) -> bool:
        """Bring an entry of a URL here, if there is one; its lock is held."""
        if self._remote is None or not self._remote.exists(self._address(entry)):
            return False
        self._put(entry, lambda path: self._remote.get_file(self._address(entry), str(path)))
        return True

    def _make(self, entry: Path, write: Callable[[Path], None]) -> None:
        """Make an entry, here and at the URL; its lock is held."""

        def made(path: Path) -> None:
            write(path)
            if self._remote is not None:
                self._upload(path, self._address(entry))

        self._put(entry, made)

    def _put(self, entry: Path, write: Callable[[Path], None]) -> None:
        """Have an entry written whole or not at all."""
        passing = entry.with_name(f".{entry.name}.partial")  # ours alone: the lock is held
        try:
            write(passing)
            with passing.open("rb") as file:
                os.fsync(file.fileno())
            passing.replace(entry)
        finally:
            passing.unlink(missing_ok=True)

    def _upload(self, path: Path, remote: str) -> None:
        """Upload under a passing name, then rename, so that no other machine reads half a file."""
        self._remote.makedirs(remote.rpartition("/")[0], exist_ok=True)
        passing = f"{remote}.{os.getpid()}.partial"
        self._remote.put_file(str(path), passing)
        self._remote.mv(passing, remote)

    def _prepare(self) -> None:
        (self.root / "locks").mkdir(parents=True, exist_ok=True)
        ignore = self.root / ".gitignore"
        if not ignore.exists():
            with suppress(FileExistsError), ignore.open("x") as file:
                file.write("# Made by pytest-prunecal; safe to delete.\n*\n")


def _loaded(kind: Kind[_Content], entry: Path) -> Remembered[_Content] | None:
    """An entry's content; None if there is none, or none that can be read."""
    try:
        return Remembered(kind.load(entry), reused=True)
    except _DAMAGED:
        return None
