"""Checksums of entries: what tells a whole one from one that was damaged, cut, extended or put in its place.

An entry `base/KEY.safetensors` has a line in `checksums/base/KEY.safetensors`, in the form of `sha256sum`:
the SHA-256 of the entry and its place. Whoever reads an entry without that very line takes it for absent, so
it makes no difference in which order the two are written, and which of them a crash or another process takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_prunecal.store.sources import file_digest
from pytest_prunecal.study.whole_file import written_whole

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "checksums"


def place_of(place: str) -> str:
    """Where in a store the line of an entry is, by the entry's own place."""
    return f"{FOLDER}/{place}"


def line(content: Path, place: str) -> bytes:
    """What is written down of an entry.

    Args:
        content: a file with its content, whatever it is called.
        place: the entry's, such as `base/KEY.safetensors`.

    Raises:
        OSError: the file cannot be read.
    """
    return f"{file_digest(content)}  {place}\n".encode()


def seal(root: Path, place: str, said: bytes) -> None:
    """Write an entry's line down in the store at `root`; raises an OSError if it cannot be."""
    path = root / place_of(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as passing:
        passing.write_bytes(said)


def is_whole(root: Path, place: str) -> bool:
    """Whether an entry is there and is byte for byte what was kept under its name."""
    entry, path = root / place, root / place_of(place)
    try:
        if not (entry.is_file() and path.is_file()):
            return False
        expected = line(entry, place)
        with path.open("rb") as file:
            return file.read(len(expected) + 1) == expected
    except OSError:
        return False
