"""Reading an ordinary file, and not before its size is known: a pipe would have the session wait."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from pytest_prunecal.errors import PrunecalError

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path, name: str, most: int, advice: str) -> bytes:
    """Read a file.

    Args:
        path: the file.
        name: how messages call it.
        most: bytes that it may have.
        advice: what to do where it has more.

    Raises:
        FileNotFoundError: there is none.
        PrunecalError: it cannot be read, is larger, or is no regular file.
    """
    try:
        # Opened first and asked then, so that it cannot become something else in between.
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            found = os.fstat(opened)
            if not stat.S_ISREG(found.st_mode):
                raise PrunecalError(
                    f"{name}: is {_kind(found.st_mode)}, not a regular file; put the file itself there"
                )
            if found.st_size > most:
                raise PrunecalError(f"{name}: has {found.st_size} bytes, more than {most}; {advice}")
            with os.fdopen(opened, "rb", closefd=False) as file:
                content = file.read(most + 1)
        finally:
            os.close(opened)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise PrunecalError(f"{name}: cannot be read: {error.strerror or error}") from None
    if len(content) > most:
        raise PrunecalError(f"{name}: grew beyond {most} bytes while it was read; try again")
    return content


def _kind(mode: int) -> str:
    kinds = {stat.S_ISDIR: "a directory", stat.S_ISFIFO: "a named pipe", stat.S_ISSOCK: "a socket"}
    return next((said for check, said in kinds.items() if check(mode)), "a device")
