"""A compressed network beside the dense one of the same run, tested on the same resampled images."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import torch

from pytest_prunecal.lab.base_network import BaseNetwork
from pytest_prunecal.lab.identity import asks_dense, is_known
from pytest_prunecal.study.against_dense import AgainstDense

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pytest_prunecal.lab.bench import Bench
    from pytest_prunecal.lab.evaluation.bootstrap import Sampled
    from pytest_prunecal.lab.evaluation.tally import Evaluated
    from pytest_prunecal.study.cell import Cell


def dense_of(cell: Cell, bench: Bench) -> BaseNetwork | None:
    """The plain dense network that a cell may have to recover; None where nobody asks, or nothing builds it.

    Cells that start from it have it anyway. Others, and candidates, have it trained where a rule is in play.
    """
    if cell.dense or not asks_dense(cell, bench.setup) or not is_known(cell.model, bench.setup.extensions):
        return None
    return BaseNetwork(cell.model, bench, slimming=False)


def against_dense(cells: Sequence[Sampled], dense: Sequence[Evaluated]) -> dict[str, AgainstDense]:
    """Compare a cell with its dense network, in every metric of images.

    Args:
        cells: the cell resampled, under each seed.
        dense: the dense network's evaluation, likewise.
    """
    found = {}
    for name in dense[0].metrics:
        each = [float(one.metrics[name]) for one in dense]
        ours = _mean([one.replicates.get(name) for one in cells])
        theirs = _mean([one.sampled.replicates.get(name) for one in dense])
        mean = each[0] if len(each) == 1 else statistics.fmean(each)
        found[name] = AgainstDense(mean, each, _sd(ours), _sd(theirs), _covariance(ours, theirs))
    return found


def _mean(replicates: list[Tensor | None]) -> Tensor | None:
    """Over networks, resample by resample; None where one of them could not be resampled."""
    known = [one for one in replicates if one is not None]
    return torch.stack(known).mean(0) if len(known) == len(replicates) else None


def _sd(replicates: Tensor | None) -> float | None:
    return None if replicates is None else float(replicates.std())


def _covariance(ours: Tensor | None, theirs: Tensor | None) -> float:
    if ours is None or theirs is None or len(ours) != len(theirs):
        return 0.0
    return float(((ours - ours.mean()) * (theirs - theirs.mean())).sum() / (len(ours) - 1))
