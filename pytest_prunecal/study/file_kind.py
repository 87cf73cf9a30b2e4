"""What a file is, told by its first bytes: names for what people mistake for something else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_prunecal.study.known_cause import LFS, POINTER, known_cause

if TYPE_CHECKING:
    from pathlib import Path

CONFLICT = "two versions between the marks of a merge conflict; keep one of them"

_KINDS = (
    (POINTER, LFS),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x93NUMPY", "a numpy array"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"GGUF", "a GGUF file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
)
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_HEAD = 4096


def kind_of(head: bytes) -> str:
    """Name what begins so; empty if it is nothing that is known here.

    Example:
        >>> kind_of(b"GGUF and more")
        'a GGUF file'
    """
    if _PICKLE.match(head):
        return "a pickle"
    name = next((name for magic, name in _KINDS if head.startswith(magic)), "")
    return name or (CONFLICT if known_cause(head) else "")


def mistaken(path: Path, wanted: str = "") -> str:
    """Name what a file is that could not be read as what it should be; empty if that cannot be told.

    Args:
        path: the file.
        wanted: what `kind_of` calls what it should be; a broken one of these is not mistaken.
    """
    try:
        with path.open("rb") as file:
            kind = kind_of(file.read(_HEAD))
    except OSError:
        return ""
    return "" if kind == wanted else kind
