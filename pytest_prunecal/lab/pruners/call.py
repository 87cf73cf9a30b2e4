"""A pruner called, and what it gives checked before anything is fine-tuned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from pytest_prunecal.errors import PrunecalError
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
    return _checked(name, pruned)


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
