"""Unstructured pruning: the smallest weights of the whole network become zero.

Han et al. 2015, "Learning both Weights and Connections" (arXiv 1506.02626), with one global threshold.
"""

from __future__ import annotations

import copy

from torch import Tensor, nn

from pytest_prunecal.lab.pruners.base import (
    Pruned,
    Pruner,
    global_threshold,
    held_by,
    hold,
    magnitudes,
    warn_floored,
)


def prune(model: nn.Module, ratio: float) -> Pruned:
    """Zero the smallest weights: keep those strictly above the one at index `int(total * ratio)` by size.

    All weights of all `Conv2d` modules are ranked together, the first conv and projections included; linear
    layers, BN and biases are not. A layer of which nothing would be left keeps its largest weight (the
    first of equals), since a conv of zeros passes neither signal nor gradient and could never recover.

    Args:
        model: the trained network.
        ratio: share of the weights to prune, 0 <= ratio < 1; 0 prunes nothing.

    Returns:
        The network with zeros in place, and the masks of every conv weight.

    Raises:
        PrunecalError: bad ratio, no conv, or weights that are not finite.

    Warns:
        PruneWarning: a layer had to keep its largest weight.
    """
    pruned = copy.deepcopy(model)
    convs = {name: module for name, module in pruned.named_modules() if isinstance(module, nn.Conv2d)}
    scores = {name: magnitudes(conv.weight) for name, conv in convs.items()}
    threshold = global_threshold(list(scores.values()), ratio)

    masks: dict[str, Tensor] = {}
    floored = []
    for name, score in scores.items():
        mask = score > threshold
        if not mask.any():
            floored.append(name)
            mask.view(-1)[score.argmax()] = True
        masks[f"{name}.weight" if name else "weight"] = mask.to(convs[name].weight.device)
    warn_floored(floored, ratio, kept="weight")
    hold(held_by(pruned, masks))
    return Pruned(pruned, masks)


weight = Pruner(prune)
