"""Writing what a session leaves: baselines, what lies beside them, reports."""

from __future__ import annotations

import re
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_prunecal.study.whole_file import fsync_folder, leftovers, written_whole

if TYPE_CHECKING:
    from pathlib import Path

_OLD = 3600
"""Seconds after which a passing file, of a process that may be anywhere, is taken for left behind."""


def write_atomically(path: Path, content: bytes, *, follow: bool = True) -> None:
    """Replace a file's content in one step; a reader, or a crash, sees the old content or the new, whole.

    The file keeps its permissions. When this returns, its content and its name are on the disk. What is no
    regular file, such as `/dev/stdout`, is written to, not replaced.

    Args:
        path: of the file.
        content: all of it.
        follow: whether a symbolic link stays one, and the file that it leads to is replaced.

    Raises:
        OSError: it cannot be written; it is then as it was.
    """
    path = path.resolve() if follow else path
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    with written_whole(path) as passing:
        if path.is_file() and not path.is_symlink():
            passing.chmod(stat.S_IMODE(path.stat().st_mode))
        passing.write_bytes(content)


def make_folder(path: Path) -> None:
    """Make a folder and those above it; when this returns, their names are on the disk."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        fsync_folder(folder.parent)


def sweep(folder: Path, names: str, *, locked: bool) -> None:
    """Remove passing files that a killed process left behind.

    Args:
        folder: where they lie.
        names: pattern of the names of the files that were to be written.
        locked: whether no other process can be writing such a file now; else only old ones are removed.
    """
    wanted = re.compile(names)
    for entry, name in leftovers(folder):
        if wanted.fullmatch(name):
            with suppress(OSError):
                if locked or time.time() - entry.lstat().st_mtime > _OLD:
                    entry.unlink()
