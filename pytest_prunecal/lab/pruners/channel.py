"""Network slimming: the channels of smallest BN scale in the whole network are removed.

Liu et al. 2017, "Learning Efficient Convolutional Networks through Network Slimming" (arXiv 1708.06519).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.models.groups import ChannelGroup, channel_groups
from pytest_prunecal.lab.models.layers import ChannelSelection
from pytest_prunecal.lab.pruners.base import Pruned, global_threshold, magnitudes, warn_floored
from pytest_prunecal.lab.pruners.graph import declares_groups, prune_channels
from pytest_prunecal.lab.pruners.surgery import module_at, without_channels


def prune(model: nn.Module, ratio: float, example: Tensor | None = None) -> Pruned:
    """Remove the channels of smallest |gamma|: keep those above the one at index `int(total * ratio)`.

    Ranked together are the scales of all BNs in the network's `channel_groups()`. In VGG and in
    pre-activation networks those are all there are; the first BN of a pre-activation block and the last of
    the network keep their width, and a selection behind them drops the channels. In networks of basic
    blocks only the first BN of each block is ranked: the channels of the second, and of the stem, are added
    to the shortcut and could not be removed, so they neither count in the total nor take part in the
    threshold. A layer of which nothing would be left keeps its largest channel (the first of equals).

    Where a network declares no groups, a dependency graph finds them, see `graph.channel_cuts`.

    Args:
        model: the network, trained with an L1 penalty on its BN scales.
        ratio: share of the ranked channels to remove, 0 <= ratio < 1; 0 prunes nothing.
        example: normalised images, float32 (N, 3, H, W); for networks that declare no groups.

    Returns:
        The smaller network.

    Raises:
        PrunecalError: bad ratio, BN scales that are missing or not finite, or a network whose
            `channel_groups()` do not fit it.

    Warns:
        PruneWarning: a layer had to keep its last channel.
    """
    if not declares_groups(model):
        return prune_channels(model, ratio, example)
    groups = [group for group in channel_groups(model) if group.bn is not None]
    scores = [_scores(model, group) for group in groups]
    threshold = global_threshold(scores, ratio)

    kept = []
    floored = []
    for group, score in zip(groups, scores, strict=True):
        index = (score > threshold).nonzero().flatten()
        if index.numel() == 0:
            floored.append(group.layer)
            index = score.argmax().reshape(1)
        kept.append((group, index))
    warn_floored(floored, ratio, kept="channel")
    return Pruned(without_channels(model, kept))


def _scores(model: nn.Module, group: ChannelGroup) -> torch.Tensor:
    """|gamma| of the channels that a group still has."""
    bn = module_at(model, group.bn or "", nn.BatchNorm2d)
    if not bn.affine:
        raise PrunecalError(f"channel pruning ranks BN scales, and {group.bn!r} has none (affine=False)")
    scales = magnitudes(bn.weight)
    if group.selection is None:
        return scales
    return scales[module_at(model, group.selection, ChannelSelection).index.cpu()]
