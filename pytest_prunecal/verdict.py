"""Verdicts: what comparing a measurement with its baseline says. Pure functions of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from pytest_prunecal.metric import in_order, recorded
from pytest_prunecal.tolerance import EXACT, Tolerance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_prunecal.measurement import Number
    from pytest_prunecal.metric import Metric

# Bounds and recorded numbers are decimal fractions; this only absorbs their binary representation.
_REPRESENTATION = 1e-9


class Status(str, Enum):
    """What one comparison says, mildest first."""

    OK = "ok"
    IMPROVEMENT = "improvement"
    REGRESSION = "regression"
    MISSING = "missing"
    INCOMPARABLE = "incomparable"

    @property
    def fails(self) -> bool:
        """Whether the cell's test fails on it."""
        return self not in (Status.OK, Status.IMPROVEMENT)


_SEVERITY = list(Status)


@dataclass(frozen=True)
class MetricVerdict:
    """One metric's comparison.

    Attributes:
        metric: the metric's name.
        status: what the comparison says.
        baseline: the accepted number; None where there is none.
        measured: the measured number as a baseline would record it; None where it was not measured.
        tolerance: the rule that applied.
    """

    metric: str
    status: Status
    baseline: Number | None
    measured: Number | None
    tolerance: Tolerance = EXACT

    @property
    def change(self) -> Number | None:
        """Measured minus baseline."""
        if self.baseline is None or self.measured is None:
            return None
        return recorded(self.measured - self.baseline)


@dataclass(frozen=True)
class CellVerdict:
    """One cell's comparison: the gravest of its metrics'.

    Attributes:
        status: the cell's status.
        metrics: metric by metric, in canonical order.
        reason: why the cell as a whole is missing or incomparable; empty otherwise.
    """

    status: Status
    metrics: tuple[MetricVerdict, ...]
    reason: str = ""

    def having(self, *statuses: Status) -> list[MetricVerdict]:
        """The metrics whose status is one of `statuses`."""
        return [verdict for verdict in self.metrics if verdict.status in statuses]

    @property
    def identical(self) -> bool:
        """Whether every metric equals its baseline at the precision that is recorded."""
        return self.status is Status.OK and all(verdict.change == 0 for verdict in self.metrics)

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        if self.reason:
            return f"{self.status.value}: {self.reason}"
        named = [verdict for verdict in self.metrics if verdict.status is self.status]
        if self.status is Status.MISSING:
            return "; ".join(
                f"{verdict.metric} has no accepted number"
                if verdict.baseline is None
                else f"{verdict.metric} has a baseline and was not measured"
                for verdict in named
            )
        if self.status is Status.OK:
            return "identical" if self.identical else "ok"
        return f"{self.status.value} in {', '.join(verdict.metric for verdict in named)}"


def judge(
    measured: Mapping[str, Number],
    accepted: Mapping[str, Number] | None,
    tolerances: Mapping[str, Tolerance],
    metrics: Mapping[str, Metric],
) -> CellVerdict:
    """Compare one cell's measured metrics with its accepted ones, names both ways.

    Args:
        measured: metric name to finite number.
        accepted: the baseline's numbers; None if the cell has no baseline.
        tolerances: metric name to the rule that applies; a metric without a rule must not get worse at all.
        metrics: what is known of each metric; a metric that is not known is compared as lower-is-better.

    Returns:
        The verdict. A change for the worse beyond tolerance is a regression, one for the better beyond
        tolerance an improvement; a metric that only one side has is missing.
    """
    if accepted is None:
        rows = [
            MetricVerdict(name, Status.MISSING, None, recorded(measured[name]), tolerances.get(name, EXACT))
            for name in in_order(measured, metrics)
        ]
        return CellVerdict(Status.MISSING, tuple(rows), "no accepted numbers for this cell")
    rows = [
        _compare(name, measured.get(name), accepted.get(name), tolerances.get(name, EXACT), metrics)
        for name in in_order({*measured, *accepted}, metrics)
    ]
    gravest = max((row.status for row in rows), key=_SEVERITY.index, default=Status.OK)
    return CellVerdict(gravest, tuple(rows))


def _compare(
    name: str,
    measured: Number | None,
    baseline: Number | None,
    tolerance: Tolerance,
    metrics: Mapping[str, Metric],
) -> MetricVerdict:
    if measured is None or baseline is None:
        rounded = None if measured is None else recorded(measured)
        return MetricVerdict(name, Status.MISSING, baseline, rounded, tolerance)
    measured = recorded(measured)
    known = metrics.get(name)
    worsening = baseline - measured if known and known.higher_is_better else measured - baseline
    bound = tolerance.bound(baseline) + _REPRESENTATION
    status = Status.OK
    if worsening > bound:
        status = Status.REGRESSION
    elif -worsening > bound:
        status = Status.IMPROVEMENT
    return MetricVerdict(name, status, baseline, measured, tolerance)
