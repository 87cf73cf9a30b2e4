"""What killed processes left in a store, found and removed by later ones."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_prunecal.store import checksum
from pytest_prunecal.store.lock import Hold, locked
from pytest_prunecal.study.whole_file import leftovers

if TYPE_CHECKING:
    from pathlib import Path

_ABANDONED = 7 * 24 * 3600
"""Seconds after which nobody can be writing a file any more, where no lock tells."""


def lock_of(root: Path, kind: str, name: str) -> Path:
    """The lock of an entry, by its kind and its file's name."""
    return root / "locks" / f"{kind}-{name.partition('.')[0]}.lock"


def remove(root: Path, kind: str, name: str, *, older: float = 0) -> None:
    """Remove what was to become one entry, or its checksum, and was not; for the holder of its lock.

    Args:
        root: of the store.
        kind: the entry's folder.
        name: of its file.
        older: seconds that it must not have been written for.
    """
    for folder in (root / kind, root / checksum.place_of(kind)):
        for path, wanted in leftovers(folder):
            with suppress(OSError):  # then it stays, and does no harm
                if wanted == name and time.time() - path.stat().st_mtime >= older:
                    path.unlink()


def sweep(root: Path, *, but: Path) -> None:
    """Remove what was to become any entry and was not, of those that no process is making.

    Args:
        root: of the store.
        but: an entry to leave alone, as this process holds its lock.
    """
    found = {
        (folder.name, wanted)
        for parent in (root, root / checksum.FOLDER)
        for folder in parent.glob("*")
        for _, wanted in leftovers(folder)
    }
    for kind, name in found - {(but.parent.name, but.name)}:
        with suppress(OSError), locked(lock_of(root, kind, name), wait=False) as hold:
            if hold is not Hold.BUSY:
                remove(root, kind, name, older=0 if hold is Hold.ALONE else _ABANDONED)
