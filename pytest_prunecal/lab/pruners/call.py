"""A pruner called, and what it gives checked before anything is fine-tuned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.own_code import misfit, told
from pytest_prunecal.lab.pruners.base import Pruned
from pytest_prunecal.study.builtin import PRUNERS

if TYPE_CHECKING:
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.pruner import Pruner


def prune(cell: Cell, pruner: Pruner, network: nn.Module) -> Pruned:
    """Prune a network as a cell says.

    Args:
        cell: of a pruner.
        pruner: built in, or the user's own, whose errors come out as they are; its function imported.
        network: the trained network.

    Raises:
        PrunecalError: the pruner cannot be called so, gives no `Pruned` network, or masks what is not there;
            a built-in one does not fit the network.
    """
    name, function = str(cell.pruner), pruner.prune
    arguments: tuple[object, ...] = network, cell.ratio
    given = "a network and a ratio"
    if pruner.levels is not None:
        arguments, given = (
            ((network, cell.level), "a network and a level") if cell.level else ((network,), "a network")
        )
    if not callable(function) or (problem := misfit(function, *arguments)):
        problem = problem if callable(function) else f"it is a {type(function).__name__}"
        raise PrunecalError(f"pruner {name!r}: its function is called with {given}: {problem}")
    try:
        pruned = function(*arguments)
    except PrunecalError:
        raise
    except Exception as error:
        if name not in PRUNERS:
            raise
        raise PrunecalError(
            f"pruner {name!r} does not fit {type(network).__name__}: {told(error)}"
        ) from error
    return _checked(name, pruned)


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
    _check_masks(name, found)
    return found


def _check_masks(name: str, pruned: Pruned) -> None:
    if not isinstance(pruned.masks, Mapping):
        raise PrunecalError(f"pruner {name!r}: its masks are a {type(pruned.masks).__name__}; wanted a dict")
    parameters = dict(pruned.model.named_parameters(remove_duplicate=False))
    for key, mask in pruned.masks.items():
        if key not in parameters:
            raise PrunecalError(f"pruner {name!r} masks {key!r}, and the network has no such parameter")
        shape = tuple(parameters[key].shape)
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool or tuple(mask.shape) != shape:
            raise PrunecalError(f"pruner {name!r}: its mask of {key} must be a bool tensor of shape {shape}")
