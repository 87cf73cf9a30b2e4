"""Files written whole or not at all, in an order that survives a kill and a power cut.

On the way they have names that nobody can guess.
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARTIAL = ".partial"
"""How passing names end."""

_NO_FOLDERS = (errno.EINVAL, errno.EBADF, errno.ENOSYS, errno.ENOTSUP)
"""What file systems say that cannot flush a folder."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a new, empty file in the same folder, which takes the place of `path` when the block is left well.

    Its name is unpredictable and it is created exclusively, so that no link that lies in wait is followed. It
    is on the disk before it gets its name, and the name is before this returns: a reader, or a power cut,
    sees the old content or the new. If the block raises, nothing is left.

    Raises:
        OSError: it cannot be created, flushed or renamed.
    """
    passing = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PARTIAL}")
    os.close(os.open(passing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield passing
        with passing.open("r+b") as file:  # Windows flushes only what may be written
            os.fsync(file.fileno())
        passing.replace(path)
        fsync_folder(path.parent)
    finally:
        with suppress(OSError):  # it was renamed, or the disk takes no changes any more: then that is told
            passing.unlink()


def fsync_folder(folder: Path) -> None:
    """Have the names in a folder survive a power cut, where the system can do that."""
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in _NO_FOLDERS:
            raise
    finally:
        os.close(opened)


def leftovers(folder: Path) -> Iterator[tuple[Path, str]]:
    """Passing files in a folder, each with the name of the file that it was to become."""
    for found in folder.glob(f".*{PARTIAL}"):
        yield found, found.name[1:].removesuffix(PARTIAL).rpartition(".")[0]
