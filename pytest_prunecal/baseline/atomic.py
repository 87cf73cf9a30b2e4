"""Writing files whole or not at all."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file's content in one step; a reader, or a crash, sees the old content or the new, whole.

    A symbolic link stays one, and the file keeps its permissions.
    """
    path = path.resolve()
    passing = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with passing.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, passing)
        passing.replace(path)
    finally:
        passing.unlink(missing_ok=True)
