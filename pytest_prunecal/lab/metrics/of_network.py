"""Metrics of a network itself: what it costs, and whatever of the user's own is measured on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_prunecal.lab.metrics.functions import called, function_of
from pytest_prunecal.lab.randomness import stage
from pytest_prunecal.study.metric import NETWORK

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import nn

    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.measurement import Number
    from pytest_prunecal.study.metric import Metric


def of_network(
    model: nn.Module,
    metrics: Mapping[str, Metric],
    cell: Cell,
    seed: int,
    device: torch.device,
    **offers: object,
) -> dict[str, Number]:
    """Metrics of a network itself, each function given the network and those of the offers that it names.

    Args:
        model: the network as evaluated.
        metrics: any; those of images are left alone.
        cell: which cell's network it is; what a function draws at random depends on it and on the seed.
        seed: the protocol's, or another under which the cell is measured.
        device: where the network is.
        offers: what functions may name.
    """
    found = {}
    for name, metric in metrics.items():
        if metric.where == NETWORK:
            with stage(device, seed, "metric", name, cell.model, cell.id):
                found[name] = called(function_of(metric), model, **offers)
    return found
