"""What data sets are read from, told without reading any of it as images."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.datasets.paths import locate
from pytest_prunecal.study.builtin import DATASETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
CIFAR = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
PUBLISHED = {"cifar10": "CIFAR-10-C", "cifar100": "CIFAR-100-C"}
"""Folders of the published corrupted test sets, in the user's data folder."""

_BLOCKS, _BLOCK = 16, 65_536


def files_of(spec: Mapping[str, object], root: Path | None) -> list[tuple[str, Path]] | None:
    """The files that a data set is read from, with their names within it.

    Args:
        spec: `name`, and the loader's own options.
        root: the user's data directory, or None.

    Returns:
        Every file whose bytes may change the data set; None where only loading it can tell: the user's own
        loaders, and data that is not there yet, or not as it must be.
    """
    name = str(spec["name"])
    if name not in DATASETS:
        return None
    if name == "digits":
        return []  # part of this package
    try:
        place = root / CIFAR[name] if root and name in CIFAR else locate(name, root, spec.get("path"))
        found = [(path.relative_to(place).as_posix(), path) for path in sorted(_within(place, name))]
    except (PrunecalError, OSError):
        return None
    return found or None


def _within(place: Path, name: str) -> Iterable[Path]:
    if place.is_file():
        return [place]
    if name == "arrays":
        return [place / f"{array}.npy" for array in ARRAYS]
    return (path for path in place.rglob("*") if path.is_file())


def published_folder(root: Path | None, dataset: str) -> Path | None:
    """Where the published corrupted test set of a data set lies; None if it does not."""
    if root is None or dataset not in PUBLISHED:
        return None
    folder = root / PUBLISHED[dataset]
    return folder if folder.is_dir() else None


def published_digest(folder: Path, names: Iterable[str]) -> str:
    """sha256 (hex) that tells one copy of published corruptions from another, for the keys of the store.

    Covers the corruptions' names, and of each file, `labels.npy` included: the size, the modification time in
    whole seconds, and the bytes, all of them up to 1 MiB, of larger files 16 evenly spread blocks of 64 KiB
    (the first and the last among them), since 2.7 GB should not be read to find a stored result. So a file
    replaced, cut short or edited in place gives another digest, short of an edit between the blocks that also
    restores the time; a copy that lost its times gives another digest for equal bytes, which costs a new
    measurement and never a wrong one. It is no identity of the data: keep it out of baselines.

    Raises:
        OSError: a file cannot be read.
    """
    state = hashlib.sha256(b"prunecal published 1\n")
    for name in (*sorted(names), "labels"):
        file = folder / f"{name}.npy"
        status = file.stat()
        state.update(f"{name} {status.st_size} {int(status.st_mtime)}\n".encode())
        with file.open("rb") as stream:
            for start in _starts(status.st_size):
                stream.seek(start)
                state.update(stream.read(_BLOCK))
    return state.hexdigest()


def _starts(size: int) -> list[int]:
    if size <= _BLOCKS * _BLOCK:
        return list(range(0, size, _BLOCK))
    return [(size - _BLOCK) * index // (_BLOCKS - 1) for index in range(_BLOCKS)]
