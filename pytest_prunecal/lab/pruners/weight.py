"""Unstructured pruning: the smallest weights of the whole network become zero.

Han et al. 2015, "Learning both Weights and Connections" (arXiv 1506.02626), with one global threshold.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from pytest_prunecal.lab.models.ranked import CONVS, ranked_weights
from pytest_prunecal.lab.pruners.base import (
    Pruned,
    global_threshold,
    held_by,
    hold,
    magnitudes,
    warn_floored,
    warn_left_out,
)

if TYPE_CHECKING:
    from torch import Tensor, nn


def prune(model: nn.Module, ratio: float) -> Pruned:
    """Zero the smallest weights: keep those strictly above the one at index `int(total * ratio)` by size.

    Ranked together are the weights of all conv, linear and attention layers, the first and the last included;
    in the published networks those of their convs alone (see `models.ranked.ranked_weights`). BN and biases
    are not. A layer of which nothing would be left keeps its largest weight (the first of equals), since a
    layer of zeros passes neither signal nor gradient and could never recover.

    Args:
        model: the trained network.
        ratio: share of the weights to prune, 0 <= ratio < 1; 0 prunes nothing.

    Returns:
        The network with zeros in place, and the masks of every ranked weight.

    Raises:
        PrunecalError: bad ratio, nothing to rank, or weights that are not finite.

    Warns:
        PruneWarning: a layer had to keep its largest weight.
        MeasurementWarning: weights of layers that are not known here are left out.
    """
    return _pruned(model, ratio, None)


def prune_convs(model: nn.Module, ratio: float) -> Pruned:
    """As `prune`, of the convs of any network alone: the paper's rule, which its own networks follow anyway.

    `sparsity` is the share of all weights that `prune` would rank, so it may be less than the ratio.
    """
    return _pruned(model, ratio, CONVS)


def _pruned(model: nn.Module, ratio: float, layers: tuple[type[nn.Module], ...] | None) -> Pruned:
    pruned = copy.deepcopy(model)
    weights = ranked_weights(pruned, layers)
    scores = {name: magnitudes(weight) for name, weight in weights.items()}
    threshold = global_threshold(list(scores.values()), ratio)

    masks: dict[str, Tensor] = {}
    floored = []
    for name, score in scores.items():
        mask = score > threshold
        if not mask.any():
            floored.append(name.removesuffix(".weight"))
            mask.view(-1)[score.argmax()] = True
        masks[name] = mask.to(weights[name].device)
    warn_floored(floored, ratio, kept="weight")
    if layers is None:
        warn_left_out(pruned, "weight pruning")
    hold(held_by(pruned, masks))
    return Pruned(pruned, masks)
