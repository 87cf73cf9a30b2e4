"""How a finished network is stored: its size, and the share of its weights that are int8."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pytest_prunecal.lab.models.ranked import ranked_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

_NARROW = (torch.int8, torch.uint8, torch.qint8, torch.quint8)


def stored_bytes(model: nn.Module) -> int:
    """Bytes of a network's parameters and buffers, each once: what a file of them takes, its header aside.

    Of a network that comes in a file it is the file that counts; see `Metric.finished`.
    """
    tensors = {id(tensor): tensor for tensor in _tensors(model)}
    return sum(_bytes(tensor) for tensor in tensors.values())


def int8_share(model: nn.Module) -> float:
    """Share of the weights of conv, linear and attention layers that are stored in 8 bits, in [0, 1].

    Weights that torch.ao or torchao quantised count by what lies in memory.
    """
    found: dict[int, Tensor] = {id(weight): weight for weight in ranked_weights(model).values()}
    named = tuple(layer.__name__ for layer in getattr(model, "RANKED", ())) or ("Conv", "Linear")
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if callable(weight) and type(module).__name__.startswith(named):  # a quantised layer of torch.ao
            unpacked = weight()
            if isinstance(unpacked, Tensor):
                found[id(module)] = unpacked
    total = sum(weight.numel() for weight in found.values())
    narrow = sum(weight.numel() for weight in found.values() if _is_narrow(weight))
    return narrow / total if total else 0.0


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    """Every tensor of a network's state; packed ones of torch.ao unpacked."""
    for value in model.state_dict(keep_vars=True).values():
        yield from _within(value)


def _within(value: Any) -> Iterator[Tensor]:  # noqa: ANN401 - whatever a state holds
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _within(part)


def _parts(tensor: Tensor) -> list[Tensor]:
    """What a tensor is made of: itself, or what lies within one of torchao's; the largest first."""
    flatten = getattr(tensor, "__tensor_flatten__", None)
    if flatten is None:
        return [tensor]
    inner = [part for name in flatten()[0] for part in _parts(getattr(tensor, name))]
    return sorted(inner, key=lambda part: -part.numel())


def _bytes(tensor: Tensor) -> int:
    return sum(math.prod(part.shape) * part.element_size() for part in _parts(tensor))


def _is_narrow(tensor: Tensor) -> bool:
    return _parts(tensor)[0].dtype in _NARROW
