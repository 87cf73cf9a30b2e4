"""A pruner called, and what it gives checked before anything is fine-tuned."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from pytest_prunecal.errors import MeasurementWarning, PrunecalError
from pytest_prunecal.lab.own_code import misfit, told
from pytest_prunecal.lab.pruners.base import Pruned
from pytest_prunecal.lab.pruners.context import OFFERS, offers_named_by
from pytest_prunecal.study.builtin import PRUNERS

if TYPE_CHECKING:
    from pytest_prunecal.lab.pruners.context import Context
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.pruner import Pruner


def prune(cell: Cell, pruner: Pruner, network: nn.Module, context: Context) -> Pruned:
    """Prune a network as a cell says.

    Args:
        cell: of a pruner.
        pruner: built in, or the user's own, whose errors come out as they are; its function imported.
        network: the trained network.
        context: what the pruner may name besides.

    Raises:
        PrunecalError: the pruner cannot be called so, gives no `Pruned` network, or masks what is not there;
            a built-in one does not fit the network.
    """
    check_function(cell, pruner)
    name, function, arguments = (
        str(cell.pruner),
        cast("Callable[..., Any]", pruner.prune),
        _given(cell, network),
    )
    offered = context.named_by(function, len(arguments))
    layers, values = _made_of(network)
    before = layers, {name: value.clone() for name, value in values.items()}
    try:
        pruned = function(*arguments, **offered)
    except PrunecalError:
        raise
    except Exception as error:
        if name not in PRUNERS:
            raise
        raise PrunecalError(
            f"pruner {name!r} does not fit {type(network).__name__}: {told(error)}"
        ) from error
    found = _checked(name, pruned)
    # Masks that the network does not follow yet are held from the first step of its fine-tuning on.
    held = pruner.tunes and context.recipe.epochs and any(not mask.all() for mask in found.masks.values())
    if not held and _same(before, _made_of(found.model)):
        warnings.warn(
            f"pruner {name!r} left {type(network).__name__} as it was: no layer and no weight is another",
            MeasurementWarning,
            stacklevel=2,
        )
    return found


def check_function(cell: Cell, pruner: Pruner) -> None:
    """Refuse a pruner whose function asks for what it is not given; raises PrunecalError."""
    function, arguments = pruner.prune, _given(cell, "a network")
    given = " and ".join(["a network", "a ratio" if pruner.levels is None else "a level"][: len(arguments)])
    if not callable(function):
        problem = f"it is a {type(function).__name__}"
        raise PrunecalError(f"pruner {cell.pruner!r}: its function is called with {given}: {problem}")
    if problem := misfit(function, *arguments, **dict.fromkeys(offers_named_by(function, len(arguments)))):
        raise PrunecalError(
            f"pruner {cell.pruner!r}: its function is called with {given}, and those of {', '.join(OFFERS)} "
            f"that it names: {problem}"
        )


def _given(cell: Cell, network: object) -> tuple[object, ...]:
    """What a cell's pruner is given by position."""
    if cell.ratio:
        return network, cell.ratio
    return (network, cell.level) if cell.level else (network,)


_Made = tuple[dict[str, type[nn.Module]], dict[str, Tensor]]


def _made_of(network: nn.Module) -> _Made:
    """Of what kind its layers are, and its parameters and buffers, by name."""
    values = [*network.named_parameters(), *network.named_buffers()]
    layers = {name: type(module) for name, module in network.named_modules()}
    return layers, {name: value.detach() for name, value in values}


def _same(one: _Made, other: _Made) -> bool:
    """Whether two networks have the same layers and the same values in them."""
    (layers, values), (its, others) = one, other
    if layers != its or values.keys() != others.keys():
        return False
    pairs = [(value, others[name]) for name, value in values.items()]
    # First what they are: `torch.equal` raises for tensors of two kinds.
    return all(_kind(left) == _kind(right) for left, right in pairs) and all(
        torch.equal(left, right) for left, right in pairs
    )


def _kind(tensor: Tensor) -> tuple[object, ...]:
    return type(tensor), tensor.dtype, tensor.device, tensor.layout, tensor.shape


def _checked(name: str, found: object) -> Pruned:
    """What a pruner returned, if it is what it must be."""
    if not isinstance(found, Pruned):
        raise PrunecalError(
            f"pruner {name!r} returned a {type(found).__name__}; wanted pytest_prunecal.Pruned"
        )
    model: object = found.model
    if not isinstance(model, nn.Module):
        raise PrunecalError(
            f"pruner {name!r} returned Pruned with a {type(model).__name__}; wanted an nn.Module"
        )
    check_masks(name, model, found.masks)
    if found.verify is not None and not callable(found.verify):
        raise PrunecalError(
            f"pruner {name!r}: its verify is a {type(found.verify).__name__}; wanted a function"
        )
    if found.costs is not None and not isinstance(found.costs, Mapping):
        raise PrunecalError(f"pruner {name!r}: its costs are a {type(found.costs).__name__}; wanted a dict")
    return found


def check_masks(name: str, model: nn.Module, masks: object) -> None:
    """Refuse masks of a pruner that are none of the network's; raises PrunecalError."""
    if not isinstance(masks, Mapping):
        raise PrunecalError(f"pruner {name!r}: its masks are a {type(masks).__name__}; wanted a dict")
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for key, mask in masks.items():
        if key not in parameters:
            raise PrunecalError(f"pruner {name!r} masks {key!r}, and the network has no such parameter")
        shape = tuple(parameters[key].shape)
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool or tuple(mask.shape) != shape:
            raise PrunecalError(f"pruner {name!r}: its mask of {key} must be a bool tensor of shape {shape}")
