"""Two sides compared image by image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_prunecal.errors import PrunecalError
from pytest_prunecal.lab.evaluation.bootstrap import paired_errors
from pytest_prunecal.lab.evaluation.encoded import decode
from pytest_prunecal.study.image_results import paired
from pytest_prunecal.study.pairing import Pairing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from pytest_prunecal.study.image_results import Columns, ImageResults
    from pytest_prunecal.study.metric import Metric


def compare(
    measured: ImageResults, accepted: ImageResults, metrics: Mapping[str, Metric], *, tuned: bool
) -> Pairing:
    """Compare two sides image by image, in all metrics that both sides know so.

    Args:
        measured: the new side.
        accepted: the baseline's side.
        metrics: all there are.
        tuned: whether the cell was trained further after its base network.

    Raises:
        PrunecalError: the two sides are about different numbers of images.
    """
    if measured.cell.images != accepted.cell.images:
        raise PrunecalError("the baseline's results by image are about another number of images")
    ours, theirs = (_columns(side.cell, side.metrics, metrics) for side in (measured, accepted))
    base, their_base = (_columns(side.base_cell, side.base_metrics, metrics) for side in (measured, accepted))
    names = [name for name in ours if name in theirs and name in base and name in their_base]
    change = {name: (ours[name] - base[name]) - (theirs[name] - their_base[name]) for name in names}
    return Pairing(
        same_base=measured.base == accepted.base,
        tuned=tuned,
        paired=paired_errors({name: ours[name] - theirs[name] for name in names}),
        changes={
            name: (measured.metrics[name] - measured.base_metrics[name])
            - (accepted.metrics[name] - accepted.base_metrics[name])
            for name in names
        },
        change_errors=paired_errors(change),
        change_spread={
            name: [
                (side.seeds - 1, side.change_sd[name])
                for side in (measured, accepted)
                if name in side.change_sd
            ]
            for name in names
        },
    )


def _columns(
    content: Columns, values: Mapping[str, float], metrics: Mapping[str, Metric]
) -> dict[str, Tensor]:
    """One network's columns; a quotient's follows from its parts', to first order (the delta method)."""
    columns = decode(content)
    names = [name for name in paired(columns, metrics) if name in values]
    for name in names:
        if name not in columns:
            above, below = metrics[name].quotient or ("", "")
            divisor = values[below] or math.inf  # the rPC of a network that is never right is 0
            columns[name] = (columns[above] - values[name] * columns[below]) / divisor
    return {name: columns[name] for name in names}
