"""Writing files whole or not at all, in an order that survives a kill and a power cut."""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

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
    # Nobody can guess the name and leave a link there; O_EXCL would not follow one.
    passing = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(passing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            if path.is_file() and not path.is_symlink():
                os.fchmod(descriptor, stat.S_IMODE(path.stat().st_mode))
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        passing.replace(path)
        sync_folder(path.parent)
    finally:
        passing.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and those above it; when this returns, their names are on the disk."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Have a folder's names written to the disk, where its file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sweep(folder: Path, names: str, *, locked: bool) -> None:
    """Remove passing files that a killed process left behind.

    Args:
        folder: where they lie.
        names: pattern of the names of the files that were to be written.
        locked: whether no other process can be writing such a file now; else only old ones are removed.
    """
    passing = re.compile(rf"\.(?:{names})\.[0-9a-f]+\.tmp")
    for entry in folder.iterdir():
        if passing.fullmatch(entry.name):
            with suppress(OSError):
                if locked or time.time() - entry.lstat().st_mtime > _OLD:
                    entry.unlink()
