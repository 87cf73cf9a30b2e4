"""Filter pruning: in each layer, the filters of smallest L1 norm are removed.

Li et al. 2017, "Pruning Filters for Efficient ConvNets" (arXiv 1608.08710), the same ratio in every layer,
norms taken before anything is removed (the paper's independent strategy).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pytest_prunecal.lab.models.groups import channel_groups
from pytest_prunecal.lab.pruners.base import Pruned, exact_ratio, warn_floored
from pytest_prunecal.lab.pruners.graph import declares_groups, prune_filters
from pytest_prunecal.lab.pruners.surgery import module_at, without_channels

if TYPE_CHECKING:
    from torch import Tensor, nn


def prune(model: nn.Module, ratio: float, example: Tensor | None = None) -> Pruned:
    """Keep the `int(C * (1 - ratio))` filters, at least one, of largest sum of |w| in each prunable conv.

    The count is computed exactly, without float rounding; of equal filters the first is kept. BN parameters
    and statistics go along by index, the consumers' inputs are sliced. Where a network declares no groups, a
    dependency graph finds them, see `graph.filter_cuts`.

    Args:
        model: the trained network; its `channel_groups()` name the prunable convs (those with a producer).
        ratio: share of each conv's filters to remove, 0 <= ratio < 1; 0 prunes nothing.
        example: normalised images, float32 (N, 3, H, W); for networks that declare no groups.

    Returns:
        The smaller network.

    Raises:
        PrunecalError: bad ratio, or a network whose `channel_groups()` do not fit it.

    Warns:
        PruneWarning: a layer had to keep its last filter.
    """
    share = 1 - exact_ratio(ratio)
    if not declares_groups(model):
        return prune_filters(model, ratio, example)
    kept = []
    floored = []
    for group in channel_groups(model):
        if group.producer is None:
            continue
        norms = filter_norms(module_at(model, group.producer, torch.nn.Conv2d))
        count = int(norms.numel() * share)
        if count == 0:
            floored.append(group.layer)
        by_norm = norms.argsort(descending=True, stable=True)
        kept.append((group, by_norm[: max(count, 1)].sort().values))
    warn_floored(floored, ratio, kept="filter")
    return Pruned(without_channels(model, kept))


def filter_norms(conv: nn.Conv2d) -> Tensor:
    """Sum of |w| of each filter, shape (out_channels,), float64 on the CPU."""
    return conv.weight.detach().cpu().double().abs().sum((1, 2, 3))
