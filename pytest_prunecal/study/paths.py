"""Paths as people write them, and what lies there: whatever the file system refuses is one sentence."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Literal

from pytest_prunecal.errors import PrunecalError

Found = Literal["", "a file", "a folder", "neither a file nor a folder"]
"""What may lie at a path, or nothing; a device or a pipe is neither, and to open one may wait for ever."""


def written(text: str, folder: Path, what: str) -> Path:
    """The path that a text means, as it is written but for `~`, which is a home folder.

    Args:
        text: absolute, or relative to the folder.
        folder: where it is written.
        what: how messages call it.

    Raises:
        PrunecalError: it holds a NUL character or what is no text, or a `~name` of nobody.
    """
    if "\0" in text:
        raise PrunecalError(f"{what}: a path cannot hold a NUL character")
    expanded = os.path.expanduser(text)  # noqa: PTH111 - Path's own raises where there is no home
    if expanded.startswith("~"):
        name = Path(expanded).parts[0]
        raise PrunecalError(
            f"{what}: {name} is nobody's home folder here; write ./{name} for what has that name"
        )
    place = folder / expanded
    try:
        str(place).encode()
    except UnicodeEncodeError:  # neither a store of tensors nor a report in JSON can name it
        raise PrunecalError(f"{what}: {str(place)!r} is no UTF-8; give it another name") from None
    return place


def found(path: Path, what: str) -> Found:
    """What lies at a path, links followed; empty if there is nothing.

    Args:
        path: which.
        what: how messages call it.

    Raises:
        PrunecalError: the file system does not say: too long a name, a loop of links, no permission.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        raise PrunecalError(f"{what}: {reason(error)}") from None
    if stat.S_ISREG(mode):
        return "a file"
    return "a folder" if stat.S_ISDIR(mode) else "neither a file nor a folder"


def reason(error: Exception) -> str:
    """What the file system said, without the number and the path that Python adds."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
