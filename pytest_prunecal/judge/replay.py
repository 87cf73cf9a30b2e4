"""The very trainings that were accepted, repeated: some seeds differ from the mean of all, no more."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from pytest_prunecal.study.metric import DECIMALS, recorded
from pytest_prunecal.study.uncertainty import within_reach

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_prunecal.judge.compared import Sides
    from pytest_prunecal.judge.verdict import MetricVerdict
    from pytest_prunecal.study.measurement import Number
    from pytest_prunecal.study.uncertainty import Uncertainty

_WHOLE = 0.5  # how far rounding takes a count


def replayed(rows: Sequence[MetricVerdict], sides: Sides, first: Mapping[str, float], level: float) -> bool:
    """Whether the numbers are those of the baseline's own seeds, as far as its file lets them be.

    Args:
        rows: the comparisons of the cell, metric by metric.
        sides: what they rest on.
        first: the baseline's numbers under its first seed alone.
        level: false-alarm rate of a comparison: what is rarer by the file is not excused from beside it.
    """
    if not first or not first.keys() <= sides.each.keys():
        return False
    by_row = {row.metric: row for row in rows}
    for name, value in first.items():
        here, there = sides.each[name], (value, *sides.accepted_each.get(name, ())[1:])
        if len(here) > len(there) or any(
            recorded(one) != recorded(other) for one, other in zip(here, there, strict=False)
        ):
            return False
        row = by_row[name]
        sure = row.baseline_uncertainty
        if row.baseline is None or not _can_be_among(here, row.baseline, sure):
            return False
        # What only lies beside the file may not stand against what is in it.
        reviewed = len(here) == 1 and sure.first is not None
        if not reviewed and row.p_value is not None and row.p_value <= level:
            return False
    return True


def _can_be_among(here: Sequence[Number], mean: Number, sure: Uncertainty) -> bool:
    """Whether seeds' numbers can be among those that a recorded mean and deviation sum up.

    The mean of n of K numbers is no farther from that of all than sd sqrt((K - 1) (K - n) / (K n)).
    """
    others, among = max(sure.seeds - len(here), 0), len(here) * max(sure.seeds - 1, 1)
    rounding = _WHOLE if isinstance(mean, int) else 10.0**-DECIMALS
    off = abs(statistics.fmean(here) - mean)
    return off <= sure.reach * math.sqrt(others / among) + rounding and all(
        within_reach(one, mean, sure) for one in here
    )
