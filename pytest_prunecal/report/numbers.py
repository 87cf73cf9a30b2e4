"""How numbers are written for people."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_prunecal.study.metric import recorded, written
from pytest_prunecal.study.uncertainty import Uncertainty, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_prunecal.study.measurement import Number
    from pytest_prunecal.study.metric import Metric


def number(value: Number | None) -> str:
    """Write a number as baselines do, and a dash for none."""
    return "-" if value is None else written(value)


def signed(change: Number | None) -> str:
    """Write a change with its sign: `+0.0123`, `-45`, `=` for none; nothing where nothing is compared."""
    if change is None:
        return ""
    if change == 0:
        return "="
    return ("+" if change > 0 else "-") + written(abs(change))


def in_unit(value: float, metric: Metric, to_whole: Callable[[float], int] = round) -> Number:
    """A number about a metric, such as a bound, in the metric's own way: whole where the metric counts."""
    return to_whole(value) if metric.count and math.isfinite(value) else recorded(value)


def amount(value: float, metric: Metric) -> str:
    """Write a number about a metric."""
    return written(in_unit(value, metric))


def caught(value: float, metric: Metric, baseline: Number | None = None) -> str:
    """Write the smallest change for the worse that is caught; `none` where no network gets that much worse.

    Args:
        value: that change, in the metric's unit.
        metric: what is known of it.
        baseline: what it is measured from; None for as good as can be.
    """
    best, worst = sorted(metric.bounds, reverse=metric.higher_is_better)
    start = best if baseline is None else baseline
    return "none" if not math.isfinite(value) or value > abs(worst - start) else amount(value, metric)


def sure(uncertainty: Uncertainty) -> str:
    """Write an uncertainty beside its number: `±0.0043`, with deviation over seeds `±0.0043/0.0031`."""
    if uncertainty.sd is None:
        return "" if uncertainty.se is None else f"±{plain(uncertainty.se)}"
    return f"±{'-' if uncertainty.se is None else plain(uncertainty.se)}/{plain(uncertainty.sd)}"


def finite(uncertainty: Uncertainty) -> Uncertainty:
    """The same, where what is not a finite number is not known."""
    se, sd = (
        None if error is None or not math.isfinite(error) else error
        for error in (uncertainty.se, uncertainty.sd)
    )
    return replace(uncertainty, se=se, sd=sd)
