"""What is installed, told from where it lies and from the metadata beside it; nothing of it is imported."""

from __future__ import annotations

import os
import site
import sysconfig
from email import message_from_string
from functools import cache, cached_property, lru_cache
from importlib.metadata import distributions
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from pytest_prunecal.study.digest import digest

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_FOLDERS = {"site-packages", "dist-packages"}
"""Installers alone write into folders of these names, whichever environment they belong to."""
_PACKAGE = Path(__file__).parent.parent


class _Metadata:
    """What the metadata of one distribution say, read when it is asked for; damaged ones say nothing."""

    def __init__(self, found: Distribution) -> None:
        self._found = found

    def lists(self, place: PurePath) -> bool:
        """Whether a file, below the folder that the metadata lie in, is of this distribution."""
        if self._record:
            name = place.as_posix()
            return f"\n{name}," in self._record or f'\n"{name}",' in self._record
        return place.parts[0].partition(".")[0] in self._modules

    @cached_property
    def installed(self) -> bool:
        """Whether an installer wrote them; `setup.py develop` leaves some beside the sources."""
        return bool(self._record) or self._text("INSTALLER") != ""

    @cached_property
    def version(self) -> str:
        """Name, version, and a digest of the files as they were built: two builds may share a version."""
        # Not what an installer adds or rewrites: two installs of one wheel are the same.
        built = sorted(
            line
            for line in self._record.splitlines()
            if ",sha256=" in line and ".dist-info/" not in line and not line.startswith("..")
        )
        return " ".join([*self._name_and_version, *([digest(built)[:16]] if built else [])])

    @cached_property
    def _name_and_version(self) -> list[str]:
        # The last is that of an egg-info that is a file.
        read = message_from_string(self._text("METADATA") or self._text("PKG-INFO") or self._text(""))
        return [str(read.get(field, "unknown")) for field in ("Name", "Version")]

    @cached_property
    def _record(self) -> str:
        text = self._text("RECORD").replace("\\", "/")
        return f"\n{text}" if text else ""

    @cached_property
    def _modules(self) -> set[str]:
        name = self._name_and_version[0].lower().replace("-", "_")
        return set(self._text("top_level.txt").split() or [name])

    def _text(self, name: str) -> str:
        try:
            return self._found.read_text(name) or ""
        except (OSError, UnicodeDecodeError):
            return ""


def is_first_party(path: Path) -> bool:
    """Whether a file is the user's own: neither the standard library's, nor installed, nor ours.

    An editable install's code lies elsewhere than its metadata and is the user's own. So is a file that
    somebody put beside packages of `pip install --target`, which lists what it installs.
    """
    return not any(_is_installed(variant) for variant in _variants(path))


def version_of(path: Path) -> str:
    """Name and version of the distribution that an installed file is of; empty if there are no metadata."""
    for variant in _variants(path):
        for folder in variant.parents:
            place = variant.relative_to(folder)
            if found := [one.version for one in _metadata(folder) if one.lists(place)]:
                return ", ".join(sorted(found))
    return ""


def _variants(path: Path) -> tuple[Path, ...]:
    """A file as it is imported, and where links lead to."""
    return tuple(dict.fromkeys((path, Path(os.path.realpath(path)))))


def _is_installed(path: Path) -> bool:
    if not _FOLDERS.isdisjoint(path.parent.parts) or any(place in path.parents for place in _places()):
        return True
    return any(
        found.installed and found.lists(path.relative_to(folder))
        for folder in path.parents
        for found in _metadata(folder)
    )


@cache
def _places() -> tuple[Path, ...]:
    """Folders of this interpreter, and this package."""
    paths = sysconfig.get_paths()
    places = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    places |= {*site.getsitepackages(), site.getusersitepackages(), str(_PACKAGE)}
    return tuple({variant for place in places for variant in (Path(place), Path(os.path.realpath(place)))})


def _metadata(folder: Path) -> tuple[_Metadata, ...]:
    """Of what is installed into a folder, or a zip file; looked for again when something came or went."""
    try:
        return _found(folder, folder.stat().st_mtime_ns)
    except OSError:  # a folder within a zip file
        return ()


@lru_cache(maxsize=256)
def _found(folder: Path, _: int) -> tuple[_Metadata, ...]:
    return tuple(_Metadata(found) for found in distributions(path=[str(folder)]))
