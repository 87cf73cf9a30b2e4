"""A trained network's weights in the store: written as they are, and checked when they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safetensors import safe_open
from safetensors.torch import save_file

from pytest_prunecal.lab.models.tied import with_all_names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

_DIVERGED = {"diverged": "yes"}
"""Written beside values that were not finite when training ended: they are told of where they are used."""


def save(state: Mapping[str, Tensor], path: Path) -> None:
    """Write weights; raises an OSError or a SafetensorError if they cannot be written."""
    save_file(dict(state), path, None if _finite(state) else _DIVERGED)


def load(path: Path, *, wanted: Mapping[str, Tensor], device: str) -> dict[str, Tensor]:
    """Read weights.

    Args:
        path: of the file.
        wanted: the state of the network that they are for.
        device: where they go.

    Raises:
        SafetensorError: it is no such file.
        ValueError: it holds other tensors than the network has, or values that training did not give.
    """
    with safe_open(path, framework="pt", device=device) as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        diverged = file.metadata() == _DIVERGED
    state = with_all_names(state, wanted)
    if state.keys() != wanted.keys():
        raise ValueError(f"{path}: these are the weights of another network")
    for name, tensor in state.items():
        if (tensor.shape, tensor.dtype) != (wanted[name].shape, wanted[name].dtype):
            raise ValueError(f"{path}: {name} is of another shape or type than the network's")
    if not diverged and not _finite(state):
        raise ValueError(f"{path}: holds values that are not finite")
    return state


def _finite(state: Mapping[str, Tensor]) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in state.values())
