"""Reading a file that lies beside a baseline: an ordinary one, and not before its size is known."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from pytest_prunecal.errors import PrunecalError

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path, name: str, most: int) -> bytes | None:
    """Read a file; None if there is none.

    Args:
        path: the file.
        name: how messages call it.
        most: bytes that it may have.

    Raises:
        PrunecalError: it cannot be read, is larger, or is no file: a named pipe would make the session wait.
    """
    try:
        # Opened first and asked then, so that it cannot become something else in between.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise PrunecalError(f"{name}: is no regular file; move it away")
            if found.st_size > most:
                raise PrunecalError(
                    f"{name}: has {found.st_size} bytes, more than the {most} that it may have; delete it"
                )
            content = file.read(most + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PrunecalError(f"{name}: cannot be read: {error.strerror or error}") from None
    if len(content) > most:
        raise PrunecalError(f"{name}: grew beyond {most} bytes while it was read; try again")
    return content
