"""One writer at a time for a baseline and the files beside it."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pytest_prunecal.errors import PrunecalError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 60.0
"""Seconds to wait for another session; it writes for a fraction of one."""

_WITHOUT = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EBADF}
"""How file systems say that they know no locks."""


@contextmanager
def locked(path: Path, name: str) -> Iterator[bool]:
    """Hold the lock of a baseline file: a file beside it, which is there only meanwhile.

    The kernel drops the lock of a process that dies; what it leaves of the file, the next holder removes.

    Args:
        path: the baseline file.
        name: how messages call it.

    Yields:
        Whether the lock is held; it is not where the file system knows no locks.

    Raises:
        PrunecalError: another process holds it for too long.
        OSError: the lock file cannot be made.
    """
    place = path.resolve()
    place = place.with_name(f".{place.name}.lock")
    given_up = time.monotonic() + PATIENCE
    while True:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            held = _lock(descriptor)
            # Whoever held it before may have removed the file: then this is the lock of nothing.
            if held is None or (held and _is(place, descriptor)):
                try:
                    yield bool(held)
                finally:
                    place.unlink(missing_ok=True)
                return
        finally:
            os.close(descriptor)
        if time.monotonic() > given_up:
            raise PrunecalError(
                f"{name}: not refreshed: another session has held {place.name} for {PATIENCE:g} seconds; "
                "run the command again once it is done, nothing is measured twice"
            )
        time.sleep(0.02)


def _lock(descriptor: int) -> bool | None:
    """Lock an open file; False if another process has it, None if its file system knows no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _WITHOUT:
            return None
        raise
    return True


def _is(place: Path, descriptor: int) -> bool:
    """Whether the open file is the one that lies there."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), os.stat(place))  # noqa: PTH116 - compared with fstat
    return False
