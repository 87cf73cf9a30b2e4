"""2:4 sparsity: of every four weights in a row, the two smallest become zero.

Mishra et al. 2021, "Accelerating Sparse Deep Neural Networks" (arXiv 2104.08378): the pattern that sparse
tensor cores multiply at twice the rate.
"""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pytest_prunecal.errors import MeasurementWarning, PrunecalError
from pytest_prunecal.lab.models.ranked import ranked_weights
from pytest_prunecal.lab.pruners.base import Pruned, held_by, hold, magnitudes, warn_left_out

if TYPE_CHECKING:
    from collections.abc import Iterable

GROUP, KEPT = 4, 2
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def prune(model: nn.Module) -> Pruned:
    """Zero the two smallest by magnitude of every four consecutive weights along the input dimension.

    The layers are those that weight pruning ranks (see `models.ranked.ranked_weights`). A conv's input
    dimension is its channels, place by place of the kernel, as in the matrix that its product is computed by;
    a linear layer's and an attention projection's is the last of its weight. Of equals the first are kept.
    Layers whose input dimension is no multiple of four are left as they are.

    Args:
        model: the trained network.

    Returns:
        The network with zeros in place, the masks that hold them, and what verifies the pattern.

    Raises:
        PrunecalError: no layer fits the pattern, or weights are not finite.

    Warns:
        MeasurementWarning: which layers are left as they are.
    """
    pruned = copy.deepcopy(model)
    weights, axes = ranked_weights(pruned), input_axes(pruned)
    fitting = [name for name in weights if name in axes and weights[name].shape[axes[name]] % GROUP == 0]
    left = [name for name in weights if name not in fitting]
    if not fitting:
        raise PrunecalError(
            f"the network has nothing that 2:4 could prune: no layer has an input dimension that is a "
            f"multiple of {GROUP}"
        )
    masks = {name: kept(weights[name], axes[name]).to(weights[name].device) for name in fitting}
    _warn_left(left, weights)
    warn_left_out(pruned, "2:4")
    hold(held_by(pruned, masks))
    return Pruned(pruned, masks, lambda network: verify(network, masks))


def input_axes(model: nn.Module) -> dict[str, int]:
    """The input dimension of each weight that has one, by the name of the parameter.

    It is the second of convs, linear layers and attention projections, and the first of transposed convs; a
    bilinear layer has two, and is not listed.
    """
    found = {}
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(prefix, recurse=False):
            if parameter.ndim > 1 and not isinstance(module, nn.Bilinear):
                found[name] = 0 if isinstance(module, _TRANSPOSED) else 1
    return found


def kept(weight: Tensor, axis: int = 1) -> Tensor:
    """The two largest by magnitude of every four along a dimension: a bool mask, on the CPU.

    Raises:
        PrunecalError: weights that are not finite.

    Example:
        >>> kept(torch.tensor([[1.0, -4.0, 3.0, 2.0, 0.0, 0.0, 0.0, 0.0]])).int().tolist()
        [[0, 1, 1, 0, 1, 1, 0, 0]]
    """
    groups = _groups(magnitudes(weight), axis)
    if not torch.isfinite(groups).all():
        raise PrunecalError("the network to prune holds NaN or infinite values: its training diverged")
    order = groups.argsort(dim=-1, descending=True, stable=True)
    mask = torch.zeros(groups.shape, dtype=torch.bool).scatter_(-1, order[..., :KEPT], value=True)
    return mask.flatten(-2).movedim(-1, axis)


def verify(model: nn.Module, layers: Iterable[str]) -> None:
    """Check that of every four weights along the input dimension at most two are not zero.

    Args:
        model: the network as it is evaluated.
        layers: names of the weights to check.

    Raises:
        PrunecalError: a layer has not the pattern.
    """
    axes = input_axes(model)
    for name in layers:
        weight = model.get_parameter(name).detach()
        if bool((_groups(weight != 0, axes[name]).sum(-1) > KEPT).any()):
            raise PrunecalError(f"{name} lost its 2:4 pattern in fine-tuning: what holds its zeros is gone")


def _groups(values: Tensor, axis: int) -> Tensor:
    """A dimension in groups of four, as the last two: (..., n / 4, 4)."""
    grouped: Tensor = values.movedim(axis, -1).unflatten(-1, (-1, GROUP))
    return grouped


def _warn_left(left: list[str], weights: dict[str, nn.Parameter]) -> None:
    """Say which layers take no part."""
    if left:
        names = ", ".join(left[:3]) + f" and {len(left) - 3} more" * (len(left) > 3)
        count = sum(weights[name].numel() for name in left)
        warnings.warn(
            f"2:4 leaves {names} unpruned ({count} values): input dimensions that are no multiple of {GROUP}",
            MeasurementWarning,
            stacklevel=3,
        )
