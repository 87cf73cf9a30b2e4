"""Batch norms and their scales, which network slimming shrinks in training and ranks in pruning."""

from __future__ import annotations

from torch import nn

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def bn_scales(model: nn.Module) -> list[nn.Parameter]:
    """The scale (gamma) of every batch norm that has one: what the L1 penalty of slimming acts on.

    The penalty's subgradient is lambda * sign(gamma), added to each scale's gradient before the optimiser
    steps.
    """
    norms = (module for module in model.modules() if isinstance(module, NORMS))
    return [norm.weight for norm in norms if norm.affine]


def init_bn_scales(model: nn.Module, value: float = 0.5) -> None:
    """Set every BN scale to one value, in place: the start that slimming trains from."""
    for scale in bn_scales(model):
        nn.init.constant_(scale, value)
