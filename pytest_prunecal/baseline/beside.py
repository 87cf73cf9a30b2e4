"""The files beside a baseline: how they are called, and which of them may go.

A name says whose the file is, what it holds and which content: `vgg19-images-1a2b3c4d.zip`. Only what bears
such a name, still has that content and is named by no baseline of the folder is ever removed.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_prunecal.baseline.atomic import sweep, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = "images"
_SUFFIXES = {IMAGES: "zip", "plain": "safetensors", "slimmed": "safetensors"}
_DIGITS = 8


def write(baseline: Path, what: str, content: bytes) -> tuple[str, str]:
    """Write a file beside a baseline; one that is there with this content stays.

    Args:
        baseline: the baseline file.
        what: it holds: `images`, or the kind of a base network.
        content: all of it.

    Returns:
        Its name and its SHA-256, in hex.

    Raises:
        OSError: it cannot be written.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    name = f"{baseline.stem}-{what}-{sha256[:_DIGITS]}.{_SUFFIXES[what]}"
    place = baseline.with_name(name)
    if not _has(place, sha256):
        write_atomically(place, content, follow=False)
    return name, sha256


def clean(baseline: Path, *, locked: bool) -> None:
    """Remove what earlier updates of a baseline left: files that no baseline names any more, passing files.

    Args:
        baseline: the baseline file, as it is now.
        locked: whether its lock is held; else another session may be writing.
    """
    stem = re.escape(baseline.stem)
    kinds = "|".join(f"{what}-([0-9a-f]{{{_DIGITS}}})[.]{suffix}" for what, suffix in _SUFFIXES.items())
    own = re.compile(f"{stem}-(?:{kinds})")
    for place in baseline.parent.iterdir():
        found = own.fullmatch(place.name)
        if found and _has(place, next(filter(None, found.groups()))) and not _is_named(place):
            with suppress(OSError):
                place.unlink()
    sweep(baseline.parent, own.pattern, locked=locked)
    resolved = baseline.resolve()
    sweep(resolved.parent, re.escape(resolved.name), locked=locked)


def _has(place: Path, digest: str) -> bool:
    """Whether a regular file is there whose SHA-256 begins like this."""
    if place.is_symlink() or not place.is_file():
        return False
    with suppress(OSError):
        return hashlib.sha256(place.read_bytes()).hexdigest().startswith(digest)
    return False


def _is_named(place: Path) -> bool:
    """Whether any YAML file of the folder names it; one that cannot be read may."""
    name = place.name.encode()
    for other in place.parent.iterdir():
        if other.suffix.lower() in (".yaml", ".yml"):
            try:
                if name in other.read_bytes():
                    return True
            except OSError:
                return True
    return False
