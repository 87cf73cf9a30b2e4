"""Verdicts: what comparing a measurement with its baseline says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from pytest_prunecal.study.metric import recorded
from pytest_prunecal.study.tolerance import EXACT, Tolerance
from pytest_prunecal.study.uncertainty import UNKNOWN, Uncertainty

if TYPE_CHECKING:
    from pytest_prunecal.judge.auto_tolerance import Allowance
    from pytest_prunecal.judge.compared import Compared
    from pytest_prunecal.judge.screen import Difference
    from pytest_prunecal.study.measurement import Number
    from pytest_prunecal.study.recovery import Recovery


class Status(str, Enum):
    """What one comparison says, mildest first."""

    OK = "ok"
    IMPROVEMENT = "improvement"
    CHANGED = "changed"
    UNRECOVERED = "unrecovered"
    REGRESSION = "regression"
    MISSING = "missing"
    INCOMPARABLE = "incomparable"

    @property
    def fails(self) -> bool:
        """Whether the cell's test fails on it."""
        return self not in (Status.OK, Status.IMPROVEMENT)


@dataclass(frozen=True)
class MetricVerdict:
    """One metric's comparison.

    Attributes:
        metric: the metric's name.
        status: what the comparison says.
        baseline: the accepted number; None where there is none.
        measured: the measured number as a baseline would record it; None where it was not measured.
        tolerance: the rule that applied.
        allowance: what noise explains, where the rule is `auto` and there is something to compare.
        baseline_uncertainty: how sure the accepted number is.
        measured_uncertainty: how sure the measured number is.
        p_value: probability that noise alone explains the change for the worse; None under a fixed tolerance.
        replayed: whether the cell's numbers are those of the baseline's own seeds, this one among them.
        more: over how many seeds the comparison wants to be looked at next; 0 if it is settled.
        single: the comparison of the first seed alone, which cells are pooled by; None where there is none.
    """

    metric: str
    status: Status
    baseline: Number | None
    measured: Number | None
    tolerance: Tolerance = EXACT
    allowance: Allowance | None = None
    baseline_uncertainty: Uncertainty = UNKNOWN
    measured_uncertainty: Uncertainty = UNKNOWN
    p_value: float | None = None
    replayed: bool = False
    more: int = 0
    single: Compared | None = None

    @property
    def change(self) -> Number | None:
        """Measured minus baseline."""
        if self.baseline is None or self.measured is None:
            return None
        return recorded(self.measured - self.baseline)

    @property
    def bound(self) -> float | None:
        """How far the metric may get worse, in its own unit; None where there is nothing to compare."""
        if self.allowance is not None:
            return self.allowance.bound
        return None if self.baseline is None else self.tolerance.bound(self.baseline)


@dataclass(frozen=True)
class Recovered:
    """One metric of a cell against its dense network.

    Attributes:
        metric: its name.
        dense: the dense network's number, as a baseline would record it; None where there is none.
        measured: the compressed network's.
        rule: what is asked.
        bound: how far it may be worse than the dense number, noise included, in the metric's unit.
        sd: standard deviation of the shortfall, >= 0.
        status: ok, unrecovered, or missing where there is no dense number.
        detectable: the smallest true distance from the dense number that is caught with probability 0.95.
        p_value: probability that noise alone takes a network at the limit this far.
        more: over how many seeds to look next; 0 if it is settled.
    """

    metric: str
    dense: Number | None
    measured: Number
    rule: Recovery
    bound: float
    sd: float
    status: Status
    detectable: float = 0.0
    p_value: float = 1.0
    more: int = 0

    @property
    def share(self) -> float | None:
        """Measured as a share of dense; None where that says nothing."""
        return self.measured / self.dense if self.dense else None

    @property
    def change(self) -> Number | None:
        """Measured minus dense."""
        return None if self.dense is None else recorded(self.measured - self.dense)


@dataclass(frozen=True)
class CellVerdict:
    """One cell's comparison: the gravest of its metrics'.

    Attributes:
        status: the cell's status.
        metrics: metric by metric, in canonical order.
        reason: why the cell as a whole is missing, incomparable or changed; empty otherwise.
        differences: what the cell computed otherwise than the accepted one, before training noise set in.
        screened: whether that is known at all.
        seeds: over how many seeds it was measured.
        more: over how many seeds it should be looked at next; 0 if it is settled.
        finished: whether it is a finished network, which nothing trains here.
        recovery: the cell against its dense network, metric by metric, where rules ask for it.
        by_baseline: what the comparison with the baseline alone says.
        without_baseline: whether the model has no baseline file, so that rules of recovery judge it alone.
    """

    status: Status
    metrics: tuple[MetricVerdict, ...]
    reason: str = ""
    differences: tuple[Difference, ...] = ()
    screened: bool = False
    seeds: int = 1
    more: int = 0
    finished: bool = False
    recovery: tuple[Recovered, ...] = ()
    by_baseline: Status = Status.OK
    without_baseline: bool = False

    @property
    def short(self) -> tuple[Recovered, ...]:
        """The rules of recovery that the cell does not keep."""
        return tuple(row for row in self.recovery if row.status.fails)

    @property
    def replayed(self) -> bool:
        """Whether the numbers are those of the baseline's own seeds, to every recorded digit."""
        return any(verdict.replayed for verdict in self.metrics)

    def having(self, *statuses: Status) -> list[MetricVerdict]:
        """The metrics whose status is one of `statuses`."""
        return [verdict for verdict in self.metrics if verdict.status in statuses]

    @property
    def unchanged(self) -> bool:
        """Whether every metric equals its baseline as far as it is recorded."""
        return all(verdict.change == 0 for verdict in self.metrics)

    @property
    def identical(self) -> bool:
        """Whether every metric equals its baseline, or that of its own seeds, as far as it is recorded."""
        unchanged = all(verdict.replayed or verdict.change == 0 for verdict in self.metrics)
        kept = self.status in (Status.OK, Status.UNRECOVERED) and self.by_baseline is Status.OK
        return kept and unchanged and not self.without_baseline

    @property
    def reviewed(self) -> bool:
        """Whether the numbers are those of the first seed as the baseline file itself has them."""
        return self.identical and all(
            row.change == 0 or (row.baseline_uncertainty.first == row.measured and self.seeds == 1)
            for row in self.metrics
        )

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        if self.reason:
            return f"{self.status.value}: {self.reason}"
        named = [verdict for verdict in self.metrics if verdict.status is self.status]
        if self.status is Status.MISSING and not named:
            return "; ".join(f"{row.metric} has no dense number to compare with" for row in self.short)
        if self.status is Status.MISSING:
            return "; ".join(
                f"{verdict.metric} has no accepted number"
                if verdict.baseline is None
                else f"{verdict.metric} has a baseline and was not measured"
                for verdict in named
            )
        if self.status is Status.OK:
            kept = self.without_baseline and self.recovery
            return "recovered" if kept else "identical" if self.identical else "ok"
        if self.status is Status.UNRECOVERED:
            return f"{self.status.value} in {', '.join(row.metric for row in self.short)}"
        return f"{self.status.value} in {', '.join(verdict.metric for verdict in named)}"
