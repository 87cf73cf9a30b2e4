"""The store: artefacts by the digest of what made them, each made once, never half-written, never misread."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import finalize

from safetensors import SafetensorError

from pytest_prunecal.store import checksum, leftovers
from pytest_prunecal.store.kinds import DAMAGED, Remembered
from pytest_prunecal.store.lock import Hold, locked
from pytest_prunecal.store.remote import Remote
from pytest_prunecal.store.trouble import StoreError, failing, unusable
from pytest_prunecal.study.digest import digest
from pytest_prunecal.study.whole_file import written_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_prunecal.store.kinds import Artefact, Content, Kind


class Store:
    """A content-addressed cache, shared by all workers of a machine and, as a URL, by machines.

    An entry counts only if it is byte for byte what was kept under its name (see `checksum`); any other is as
    good as none, and is made anew.

    Args:
        url: a directory, or an fsspec URL such as `s3://bucket/prunecal`; entries of a URL are kept in
            the user's cache directory too.

    Raises:
        StoreError: there is no such place and none can be made, or its fsspec driver is missing.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._remote: Remote | None = None
        self._swept = False
        self._aside: dict[Path, tuple[Path, StoreError]] = {}
        try:
            if "://" in url and not url.startswith("file://"):
                self._remote = Remote(url)
                self.root = Path.home() / ".cache" / "prunecal" / digest(url)[:16]
            else:
                self.root = Path(url.removeprefix("file://"))
            self._prepare()
        except (OSError, ValueError, RuntimeError) as error:  # a name with a zero byte, nobody's home
            raise unusable(url, error) from None

    def check_writable(self) -> None:
        """Try to write, before anything is measured; a store that fails later is put up with.

        Raises:
            StoreError: nothing can be written.
        """
        try:
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise unusable(self._url, error) from None
        if self._remote is not None:
            self._remote.check_writable()

    def obtain(self, artefact: Artefact) -> Path:
        """Find an entry's file, or make it; of several processes that want it, one does and others wait.

        Raises:
            StoreError: it cannot be kept.
        """
        return self._found_or_made(artefact)[0]

    def attempt(self, artefact: Artefact) -> Path | None:
        """As `obtain`, but None at once where another process is making the entry."""
        entry, hold = self._found_or_made(artefact, wait=False)
        return None if hold is Hold.BUSY else entry

    def read(self, artefact: Artefact, read: Callable[[Path], Content]) -> Content:
        """Read an entry, found or made; one that is not what it should be is made anew.

        Args:
            artefact: what is wanted.
            read: gives the content of a file; raises one of `DAMAGED` if it is no such artefact.

        Raises:
            StoreError: it cannot be kept.
        """
        entry = self.obtain(artefact)
        try:
            return read(entry)
        except DAMAGED:
            return read(self._found_or_made(artefact, anew=True)[0])

    def remember(
        self,
        kind: Kind[Content],
        key: str,
        make: Callable[[], Content],
        *,
        anew: bool = False,
        unfit: Callable[[], str] | None = None,
    ) -> Remembered[Content]:
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
        if not anew and (found := self._loaded(kind, entry)):
            return found
        with ExitStack() as stack:
            hold, problem = Hold.UNKNOWN, ""
            try:
                hold = stack.enter_context(self._lock(entry))
                if not anew and (found := self._arrived(kind, entry)):
                    return found
            except OSError as error:
                problem = str(failing(self._url, error))
            content = make()
            problem = problem or (unfit() if unfit else "")
            if not problem:
                try:
                    self._keep(entry, partial(kind.save, content), hold)
                except StoreError as error:
                    problem = str(error)
                except (OSError, SafetensorError) as error:
                    problem = str(failing(self._url, error))
            return Remembered(content, problem=problem)

    def find(self, place: str) -> Path | None:
        """Find a whole entry by its place, such as `base/KEY.safetensors`; None if there is none.

        Raises:
            StoreError: this process made it, and it could not be kept.
            OSError: it cannot be brought here.
        """
        entry = self.root / place
        if entry in self._aside:
            raise self._aside[entry][1]
        if checksum.is_whole(self.root, place):
            return entry
        if self._remote is None:
            return None
        with self._lock(entry):
            return entry if self._fetch(entry) else None

    def _found_or_made(
        self, artefact: Artefact, *, wait: bool = True, anew: bool = False
    ) -> tuple[Path, Hold]:
        """Find an entry or make it, anew if what is there is of no use; not if another process is at it."""
        entry = self.root / artefact.place
        if not anew and self._is_whole(entry):
            return entry, Hold.ALONE
        if not anew and entry in self._aside:
            return self._aside[entry][0], Hold.ALONE
        with ExitStack() as stack:
            problem: Exception | None = None
            try:
                hold = stack.enter_context(self._lock(entry, wait=wait))
                if hold is Hold.BUSY or (not anew and (self._is_whole(entry) or self._fetch(entry))):
                    return entry, hold
            except OSError as error:
                hold, problem = Hold.UNKNOWN, error
                if not artefact.dear:
                    raise failing(self._url, error) from None
            content = artefact.make()
            try:
                if not problem:
                    self._keep(entry, partial(artefact.save, content), hold)
                    return entry, hold
            except (OSError, SafetensorError) as error:
                problem = error
            told = failing(self._url, problem)
            if not artefact.dear:
                raise told
            return self._put_aside(artefact, content, told), hold

    def _put_aside(self, artefact: Artefact, content: object, told: StoreError) -> Path:
        """Keep for this process alone what the store cannot keep; gone when the process ends.

        Raises:
            StoreError: what was told, if it cannot be kept anywhere.
        """
        try:
            folder = Path(tempfile.mkdtemp(prefix="prunecal-"))
            finalize(self, shutil.rmtree, folder, ignore_errors=True)
            path = folder / f"{artefact.kind}{artefact.suffix}"
            artefact.save(content, path)
        except (OSError, SafetensorError):
            raise told from None
        self._aside[self.root / artefact.place] = path, told
        return path

    def _loaded(self, kind: Kind[Content], entry: Path) -> Remembered[Content] | None:
        """An entry's content; None if there is none that is whole and can be read."""
        if not self._is_whole(entry):
            return None
        try:
            return Remembered(kind.load(entry), reused=True)
        except DAMAGED:
            return None

    def _arrived(self, kind: Kind[Content], entry: Path) -> Remembered[Content] | None:
        """What others have made by the time that the lock is held, here or on another machine."""
        return self._loaded(kind, entry) or (self._loaded(kind, entry) if self._fetch(entry) else None)

    def _is_whole(self, entry: Path) -> bool:
        return checksum.is_whole(self.root, self._place(entry))

    def _place(self, entry: Path) -> str:
        return entry.relative_to(self.root).as_posix()

    @contextmanager
    def _lock(self, entry: Path, *, wait: bool = True) -> Iterator[Hold]:
        """Hold an entry's lock."""
        entry.parent.mkdir(parents=True, exist_ok=True)
        with locked(leftovers.lock_of(self.root, entry.parent.name, entry.name), wait=wait) as hold:
            yield hold

    def _fetch(self, entry: Path) -> bool:
        """Bring an entry of a URL here, with its checksum, if there is a whole one; its lock is held."""
        place = self._place(entry)
        both = place, checksum.place_of(place)
        if self._remote is None or not all(map(self._remote.has, both)):
            return False
        for part in both:
            path = self.root / part
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(path) as passing:
                self._remote.get(part, passing)
        return self._is_whole(entry)

    def _keep(self, entry: Path, save: Callable[[Path], None], hold: Hold) -> None:
        """Write an entry and its checksum, here and at the URL; its lock is held where there are locks."""
        if not self._swept:
            self._swept = True
            leftovers.sweep(self.root, but=entry)
        if hold is Hold.ALONE:
            leftovers.remove(self.root, entry.parent.name, entry.name)
        place = self._place(entry)
        with written_whole(entry) as passing:
            save(passing)
            said = checksum.line(passing, place)
            if self._remote is not None:
                self._remote.put(passing, place)
        checksum.seal(self.root, place, said)
        if self._remote is not None:
            self._remote.put(self.root / checksum.place_of(place), checksum.place_of(place))

    def _prepare(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        ours = not any(self.root.iterdir())
        (self.root / "locks").mkdir(exist_ok=True)
        if ours:  # a folder of the user's that holds other things is not kept out of git
            with suppress(FileExistsError), (self.root / ".gitignore").open("x") as file:
                file.write("# Made by pytest-prunecal; safe to delete.\n*\n")
