"""Tied weights: a tensor that has several names in a network's state is stored once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


def stored_once(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state as a file keeps it: of several names for one tensor the first, and no memory shared.

    Args:
        state: a network's `state_dict()`.

    Returns:
        Contiguous tensors on the CPU.
    """
    first = {names[0] for names in _names_of_each(state)}
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items() if name in first}
    seen: set[int] = set()
    for name, tensor in kept.items():  # two parameters may be views of one memory
        place = tensor.untyped_storage().data_ptr()
        kept[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return kept


def with_all_names(found: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a file holds, under every name that the network's state has for it.

    Args:
        found: by name; of names for one tensor, any is enough.
        state: the network's `state_dict()`.
    """
    completed = dict(found)
    for names in _names_of_each(state):
        known = [name for name in names if name in found]
        if known:
            completed |= {name: found[known[0]] for name in names if name not in found}
    return completed


def _names_of_each(state: Mapping[str, Tensor]) -> list[list[str]]:
    """The names of every tensor, in the order of the state."""
    found: dict[object, list[str]] = {}
    for name, tensor in state.items():
        alike = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()) if tensor.numel() else name
        found.setdefault(alike, []).append(name)
    return list(found.values())
