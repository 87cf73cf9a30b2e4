"""Locks between processes: who makes an entry, while others wait for it."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from filelock import BaseFileLock

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
"""What file systems say that have no locks, as some network file systems do."""


class Hold(Enum):
    """What asking for a lock came to."""

    ALONE = "no other process has it"
    BUSY = "another process has it, and this one is not to wait"
    UNKNOWN = "the file system has no locks: another process may be at the same"


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[Hold]:
    """Hold a lock; the kernel drops that of a process that dies.

    Where there are no locks, nobody waits: two processes may then make the same thing, and as each writes it
    whole, that costs time and nothing else.

    Args:
        path: of the lock's file, whose folder is there.
        wait: whether to wait for another process.

    Raises:
        OSError: the file cannot be opened.
    """
    lock = FileLock(path)
    hold = _acquired(lock, wait=wait)
    try:
        yield hold
    finally:
        if hold is Hold.ALONE:
            lock.release()


def _acquired(lock: BaseFileLock, *, wait: bool) -> Hold:
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        return Hold.BUSY
    except NotImplementedError:
        return Hold.UNKNOWN
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return Hold.UNKNOWN
    return Hold.ALONE
