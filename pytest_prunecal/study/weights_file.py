"""The header of a safetensors file, read and checked without torch: which tensors it holds, of which type.

The format: eight bytes, little-endian, that say how long the header is; the header, JSON, tensor by tensor
its type, shape and place; then the bytes of the tensors (https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.study.file_kind import CONFLICT, kind_of
from pytest_prunecal.study.known_cause import LFS
from pytest_prunecal.study.paths import found, reason

if TYPE_CHECKING:
    from pathlib import Path

FLOATS = {"F16": ("float16", 2), "BF16": ("bfloat16", 2), "F32": ("float32", 4), "F64": ("float64", 8)}
"""Types of weights that can be measured: torch's name of each, and its bytes."""

_WHOLE = (("8", 1), ("16", 2), ("32", 4), ("64", 8))
_OTHERS = {
    **{
        f"{sign}{bits}": (f"{name}{bits}", size)
        for sign, name in (("I", "int"), ("U", "uint"))
        for bits, size in _WHOLE
    },
    "BOOL": ("bool", 1),
}
"""Types of what networks hold besides weights, such as counts of batches, positions and masks."""

_MOST = 100_000_000
"""Bytes of a header; the library refuses longer ones, too."""

# What layers of torch call parameters and statistics that are real numbers in every network.
_WEIGHTS = ("weight", "bias", "running_mean", "running_var")
_CONVERT = (
    "load it as you always do, and keep it with safetensors.torch.save_file(network.state_dict(), "
    "'net.safetensors')"
)
_LONGEST = 120
_PYTORCH = (".pt", ".pth", ".bin", ".ckpt", ".pkl")


class Tensor(NamedTuple):
    """One tensor as the header describes it.

    Attributes:
        dtype: the format's name of its type, such as F32.
        shape: its sizes.
    """

    dtype: str
    shape: tuple[int, ...]


def check(path: Path, what: str) -> dict[str, Tensor]:
    """Read the header of a file of weights and refuse what cannot be a network's.

    Args:
        path: the file.
        what: how messages call it.

    Returns:
        Its tensors by name.

    Raises:
        PrunecalError: it cannot be read, is no safetensors file or not all of one, or its weights are no
            floating-point numbers.
    """
    there = found(path, what)
    if there != "a file":
        raise PrunecalError(f"{what}: {f'is {there}' if there else 'is not there'}; name a safetensors file")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(8)
            length = int.from_bytes(head, "little")
            foreign = len(head) < 8 or not 2 <= length <= min(_MOST, size - 8)
            content = file.read(4096 if foreign else length)
    except OSError as error:
        raise PrunecalError(f"{what}: cannot be read: {reason(error)}") from None
    tensors = None if foreign else _tensors(content, size - 8 - length, what)
    if tensors is None:
        raise PrunecalError(f"{what}: {_told(head + content, size, path)}")
    for name, tensor in tensors.items():
        if problem := _misfit(name, tensor):
            raise PrunecalError(f"{what}: {problem}")
    if not any(tensor.dtype in FLOATS for tensor in tensors.values()):
        raise PrunecalError(f"{what}: holds no weights; name a file of a network's state_dict()")
    return tensors


def _told(head: bytes, size: int, path: Path) -> str:
    """Say what a file is instead, and the way out."""
    if not size:
        return "is empty; name a safetensors file"
    kind = kind_of(head)
    if kind in (LFS, CONFLICT):
        return f"is {kind}"
    if kind == "a zip archive" and path.suffix != ".npz":
        kind = "a PyTorch file (.pt, .pth)"
    if kind.startswith(("a PyTorch file", "a pickle")) or (not kind and path.suffix in _PYTORCH):
        return (
            f"is {kind or 'a PyTorch file by its name'}, which can run code when it is loaded, and no "
            f"safetensors file; {_CONVERT}"
        )
    if kind:
        return f"is {kind} and no safetensors file; {_CONVERT}"
    return "is no readable safetensors file: its header is broken or cut short; make or copy it again"


def _tensors(header: bytes, size: int, what: str) -> dict[str, Tensor] | None:
    """Read the header of a file with so many bytes after it; None if it is none.

    Raises:
        PrunecalError: the file ends before its last tensor does.
    """
    try:
        entries = json.loads(header)
        entries.pop("__metadata__", None)
        tensors = {name: _tensor(entry) for name, entry in entries.items()}
        ends = [int(entry["data_offsets"][1]) for entry in entries.values()]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return None
    if max(ends, default=0) > size:
        raise PrunecalError(
            f"{what}: is no readable safetensors file: it should have {max(ends):,} bytes of tensors and has "
            f"{size:,}, so the copy or the download of it was cut short; make or copy it again"
        )
    return tensors


def _tensor(entry: dict[str, Any]) -> Tensor:
    """Read one entry; raises a ValueError, a TypeError or a KeyError if it is none."""
    start, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if not all(type(number) is int and number >= 0 for number in (*shape, start, end)):
        raise ValueError("sizes and places are whole numbers")
    dtype = str(entry["dtype"])
    _, width = (FLOATS | _OTHERS).get(dtype, ("", 0))
    if width and end - start != width * math.prod(shape):
        raise ValueError("a place as long as the tensor is large")
    return Tensor(dtype, shape)


def _misfit(name: str, tensor: Tensor) -> str:
    """Why a tensor cannot be of a network that is measured; empty if it can."""
    counts = tensor.dtype in _OTHERS and name.rpartition(".")[2] not in _WEIGHTS
    if tensor.dtype in FLOATS or counts:
        return ""
    dtype, _ = _OTHERS.get(tensor.dtype, (tensor.dtype, 0))
    wanted = ", ".join(name for name, _ in FLOATS.values())
    return (
        f"its {short(name)} is {short(dtype)}, wanted one of {wanted}: quantised weights mean nothing "
        "without their scales; give the file of the network before it was quantised"
    )


def short(name: str) -> str:
    """A name out of a file, fit for one line of a message."""
    shown = name if name.isprintable() else repr(name)[1:-1]
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
