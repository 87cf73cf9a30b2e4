"""Arrays from files of unknown origin, never unpickled; arrays to the tensors a `Dataset` holds."""

from __future__ import annotations

import zipfile
import zlib
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.file_kind import mistaken

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

# What numpy, zipfile and zlib are known to raise on broken bytes; np.load promises no single exception.
_BROKEN = (
    OSError,
    ValueError,
    EOFError,
    SyntaxError,
    RuntimeError,
    MemoryError,
    OverflowError,
    TypeError,
    TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
_UNPACKED, _TIMES = 1 << 28, 200
"""Bytes that any archive may unfold into, and how many times its own size a larger one."""


def open_npy(path: Path, wanted: str) -> NDArray[Any]:
    """Maps one `.npy` file, read only: no pixel is read yet.

    Args:
        path: The file.
        wanted: What it should hold, for the message.

    Returns:
        The mapped array; a plain one where it is empty.

    Raises:
        PrunecalError: If the file is missing, truncated, not a `.npy`, or holds pickled objects.
    """
    if not path.is_file():
        raise PrunecalError(f"{path} is missing; wanted {wanted}")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except _BROKEN as error:
        if kind := mistaken(path, "a numpy array"):
            raise PrunecalError(f"{path} cannot be read: it is {kind}; wanted {wanted}") from error
        size = path.stat().st_size
        raise PrunecalError(
            f"{path} ({size} bytes, truncated or broken?) cannot be read as an array: {first_line(error)}; "
            f"wanted {wanted}"
        ) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise PrunecalError(f"{path} is an archive of arrays under a .npy name; wanted {wanted}")
    return array


def read_npz(path: Path, wanted: dict[str, str]) -> dict[str, NDArray[Any]]:
    """Reads some arrays of a `.npz` file into memory (a zip archive cannot be mapped).

    Args:
        path: The file.
        wanted: The keys to read, each with what it should hold, for the message.

    Returns:
        The arrays by key.

    Raises:
        PrunecalError: If the file or one of its arrays cannot be read, a key is missing, or one is pickled.
    """
    key = None
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise PrunecalError(f"{path} holds one bare array, wanted a .npz archive of {', '.join(wanted)}")
        with archive:
            _check_size(path, archive, wanted)
            missing = [name for name in wanted if name not in archive.files]
            if missing:
                found = ", ".join(archive.files) or "nothing"
                raise PrunecalError(
                    f"{path} lacks {', '.join(missing)}: found {found}, wanted {', '.join(wanted)}"
                )
            arrays = {}
            for key in wanted:
                arrays[key] = archive[key]
                if not isinstance(arrays[key], np.ndarray):
                    raise TypeError("it is no array")
            return arrays
    except _BROKEN as error:
        if not key and (kind := mistaken(path, "a zip archive")):
            raise PrunecalError(
                f"{path} cannot be read: it is {kind}; wanted a .npz archive of {', '.join(wanted)}"
            ) from error
        at = f": {key}" if key else ""
        hope = wanted[key] if key else f"a .npz archive of {', '.join(wanted)}"
        raise PrunecalError(f"{path}{at} cannot be read: {first_line(error)}; wanted {hope}") from error


def _check_size(path: Path, archive: Any, wanted: Collection[str]) -> None:  # noqa: ANN401 - has no public name
    """Refuse an archive whose arrays would take far more memory than its size lets expect."""
    packed = path.stat().st_size
    unpacked = sum(
        entry.file_size for entry in archive.zip.infolist() if entry.filename.removesuffix(".npy") in wanted
    )
    if unpacked > max(_UNPACKED, _TIMES * packed):
        raise PrunecalError(
            f"{path} has {packed:,} bytes and unfolds into {unpacked:,}, over {_TIMES} times as many; if "
            "that is meant, give the arrays as .npy files, or in a .npz file without compression (np.savez)"
        )


def to_images(array: NDArray[Any]) -> Tensor:
    """uint8 (N, H, W, 3) to a new contiguous uint8 tensor (N, 3, H, W)."""
    # A copy always: a mapped file is read only, and a tensor on it would not know.
    return torch.from_numpy(np.array(array.transpose(0, 3, 1, 2), dtype=np.uint8, order="C"))


def to_labels(array: NDArray[Any]) -> Tensor:
    """Integers (N,) to a new int64 tensor (N,)."""
    return torch.from_numpy(np.array(array, dtype=np.int64))


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, or its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
