"""A process that stops, or dies, before any of its operations on files below a folder.

Operations are seen from outside, by Python's audit events and the interpreter's calls of C functions, so that
nothing is known of how the package writes.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from multiprocessing.connection import Connection
    from types import FrameType

EVENTS = {  # audit events of what changes files
    "os.rename": "replace",
    "os.remove": "unlink",
    "os.mkdir": "mkdir",
    "os.rmdir": "rmdir",
    "os.link": "link",
    "os.symlink": "symlink",
    "os.chmod": "chmod",
    "os.truncate": "truncate",
    "os.utime": "utime",
}
_OF_FILES = {"write", "writelines", "flush", "truncate", "close", "__exit__"}
_OF_MODULES = {"fsync", "fdatasync", "flock", "lockf", "sleep"}
HARMLESS = ("read", "sleep", "flock", "lockf")
"""Labels that begin so change nothing: dying there is dying before the next."""


class Watch:
    """Calls `stop(label)` before each operation, and `stop("half …")` after each write.

    Args:
        folder: only files below it count.
        stop: may block, or not return.
    """

    def __init__(self, folder: Path, stop: Callable[[str, int | None], None]) -> None:
        self._folder, self._stop, self._busy = f"{folder.resolve()}/", stop, True
        sys.addaudithook(self._audit)

    def begin(self) -> None:
        """See operations from here on."""
        self._busy = False
        sys.setprofile(self._profile)

    def end(self) -> None:
        """See none any more."""
        sys.setprofile(None)
        self._busy = True

    def _here(self, path: object) -> str:
        """A path's name below the folder; empty if it is not there."""
        if not isinstance(path, (str, bytes, os.PathLike)):
            return ""
        full = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - `resolve` would follow links
        inside = full.startswith(self._folder) and "__pycache__" not in full
        return full.removeprefix(self._folder) if inside else ""

    def _tell(self, label: str, descriptor: int | None = None) -> None:
        self._busy = True
        try:
            self._stop(label, descriptor)
        finally:
            self._busy = False

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if self._busy:
            return
        if event == "open":
            path, _, flags = args
            if here := self._here(path):
                writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
                self._tell(f"{'open' if writes else 'read'} {here}")
        elif event in EVENTS and (here := self._here(args[0])):
            self._tell(f"{EVENTS[event]} {here}")

    def _profile(self, _: FrameType, event: str, function: Any) -> None:  # noqa: ANN401 - any C function
        if self._busy or event not in ("c_call", "c_return"):
            return
        name = function.__name__
        if name in _OF_MODULES:
            if event == "c_call":
                self._tell(name)
        elif name in _OF_FILES:
            descriptor, here = self._file(function)
            if here and event == "c_call":
                self._tell(f"{name} {here}")
            elif here and name in ("write", "flush"):
                self._tell(f"half {here}", descriptor)

    def _file(self, method: Any) -> tuple[int | None, str]:  # noqa: ANN401 - of any object
        owner: Any = getattr(method, "__self__", None)
        if not hasattr(owner, "fileno"):
            return None, ""
        try:
            descriptor = int(owner.fileno())
            return descriptor, self._here(Path(f"/proc/self/fd/{descriptor}").readlink())
        except (OSError, ValueError):
            return None, ""


class Watched:
    """A plugin of pytest that watches the end of a session, where baselines are written.

    Args:
        folder: whose files count.
        stop: see `Watch`.
        whole: watch the whole session instead.
    """

    def __init__(self, folder: Path, stop: Callable[[str, int | None], None], *, whole: bool = False) -> None:
        self._watch, self._whole = Watch(folder, stop), whole

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        if self._whole:
            self._watch.begin()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, None, None]:
        self._watch.begin()
        try:
            yield
        finally:
            self._watch.end()


def die_at(number: int, log: int) -> Callable[[str, int | None], None]:
    """Die before operation `number`, counted from 0; write what each is to a file descriptor."""
    seen = -1

    def stop(label: str, descriptor: int | None) -> None:
        nonlocal seen
        if label.startswith(HARMLESS):
            return
        seen += 1
        os.write(log, f"{label}\n".encode())
        if seen == number:
            if descriptor is not None:  # half of what was written reached the disk
                os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    return stop


def ask(line: Connection) -> Callable[[str, int | None], None]:
    """Wait before each operation until whoever is at the other end says go."""

    def stop(label: str, _: int | None) -> None:
        if not label.startswith("half"):
            line.send(label)
            line.recv()

    return stop
