"""How far a seed ends from its own accepted number where nothing but float arithmetic differs.

Two repeats of the accepted training tell little of one cell, so they are moderated by what repeats of other
cells showed: first of the model's, then of the pruner's, each as `noise` moderates a variance (Smyth 2004,
eq. 1). With s^2 the variance over seeds, e = 2 (0.3 s)^2 what is expected of a squared repeat r^2, and d the
prior's degrees of freedom:

    of a model:  f = (d + sum of r^2 / e) / (d + repeats)          over all its tuned cells
    of a pruner: f = (d f of the model + sum of r^2 / e) / (d + repeats)
    of a cell:   v = (d f e + sum of r^2) / (d + repeats)

and never more than two trainings differ by, 2 s^2.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from pytest_prunecal.judge.noise import LEAST_FREEDOM

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_prunecal.judge.noise import Spread

COUPLING = 0.3
"""Deviation of a repeated training, as a share of that of two trainings under other seeds (0.32 measured)."""


class Repeats(NamedTuple):
    """Repeats of one metric of one cell.

    Attributes:
        group: the cell's pruner.
        metric: the metric's name.
        spread: the training noise.
        moved: how far each repeat ended from the accepted number, on the metric's scale; may be none.
    """

    group: str
    metric: str
    spread: Spread
    moved: Sequence[float]

    @property
    def shares(self) -> list[float]:
        """Square of each repeat, as a share of what is expected of it."""
        expected = _expected(self.spread)
        return [one * one / expected for one in self.moved if math.isfinite(one)] if expected else []


def couplings(repeats: Iterable[Repeats], freedom: int) -> dict[str, dict[str, float]]:
    """By pruner and metric, what the expected square of a repeat is multiplied by.

    Args:
        repeats: of the tuned cells of a whole baseline file.
        freedom: of the protocol's prior.
    """
    by_metric: dict[str, list[float]] = {}
    by_group: dict[tuple[str, str], list[float]] = {}
    for one in repeats:
        by_metric.setdefault(one.metric, []).extend(one.shares)
        by_group.setdefault((one.group, one.metric), []).extend(one.shares)
    found: dict[str, dict[str, float]] = {}
    for (group, metric), shares in by_group.items():
        model = _moderated(1.0, by_metric[metric], freedom)
        found.setdefault(group, {})[metric] = _moderated(model, shares, freedom)
    return found


def coupled(spread: Spread, moved: Sequence[float], freedom: int, level: float = 1.0) -> tuple[float, int]:
    """Deviation of a seed against itself on the scale, and its degrees of freedom.

    Args:
        spread: the training noise.
        moved: how far repeats of the accepted training ended from it, on the scale; may be none.
        freedom: of the protocol's prior.
        level: what the expected square of a repeat is multiplied by, see `couplings`.
    """
    squares = [one * one for one in moved if math.isfinite(one)]
    variance = _moderated(level * _expected(spread), squares, freedom)
    return math.sqrt(min(variance, 2 * spread.variance)), max(freedom + len(squares), LEAST_FREEDOM)


def _expected(spread: Spread) -> float:
    return 2 * COUPLING * COUPLING * spread.variance


def _moderated(expected: float, squares: Sequence[float], freedom: int) -> float:
    return (freedom * expected + sum(squares)) / (freedom + len(squares))
