"""The store: artefacts by the digest of what made them, each made once and never half-written."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.digest import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Content = TypeVar("_Content")
_DAMAGED = (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, SafetensorError)
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

    def renew(self, artefact: Artefact) -> Path:
        """Make an entry anew, whether or not there is one."""
        entry = self._place(artefact)
        with self._lock(entry):
            self._make(entry, artefact.write, anew=True)
        return entry

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
            return read(self.renew(artefact))

    def find(self, place: str) -> Path | None:
        """Find an entry by its place in the store, such as `base/KEY.safetensors`; None if there is none."""
        entry = self.root / place
        if self._remote is not None and not entry.exists() and self._remote.exists(self._address(entry)):
            with self._lock(entry):
                self._make(entry, _vanished)
        return entry if entry.exists() else None

    def _place(self, artefact: Artefact) -> Path:
        return self.root / artefact.kind / f"{artefact.key}{artefact.suffix}"

    def _found_or_made(self, artefact: Artefact, *, wait: bool) -> Path | None:
        entry = self._place(artefact)
        if entry.exists():
            return entry
        with self._lock(entry, wait=wait) as held:
            if not held:
                return None
            if not entry.exists():
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

    def _make(self, entry: Path, write: Callable[[Path], None], *, anew: bool = False) -> None:
        partial = entry.with_name(f".{entry.name}.partial")  # ours alone: the lock is held
        remote = self._address(entry)
        try:
            if self._remote is not None and not anew and self._remote.exists(remote):
                self._remote.get_file(remote, str(partial))
            else:
                write(partial)
                if self._remote is not None:
                    self._upload(partial, remote)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(entry)
        finally:
            partial.unlink(missing_ok=True)

    def _upload(self, partial: Path, remote: str) -> None:
        """Upload under a passing name, then rename, so that no other machine reads half a file."""
        self._remote.makedirs(remote.rpartition("/")[0], exist_ok=True)
        passing = f"{remote}.{os.getpid()}.partial"
        self._remote.put_file(str(partial), passing)
        self._remote.mv(passing, remote)

    def _prepare(self) -> None:
        (self.root / "locks").mkdir(parents=True, exist_ok=True)
        ignore = self.root / ".gitignore"
        if not ignore.exists():
            with suppress(FileExistsError), ignore.open("x") as file:
                file.write("# Made by pytest-prunecal; safe to delete.\n*\n")


def _vanished(path: Path) -> None:
    raise PrunecalError(f"{path.name.strip('.')}: was removed from the store while it was read")
