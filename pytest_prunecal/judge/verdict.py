"""Verdicts: what comparing a measurement with its baseline says. Pure functions of numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

from pytest_prunecal.judge.auto_tolerance import Sample, Terms, allowance, sharper
from pytest_prunecal.judge.holm import rejected
from pytest_prunecal.study.metric import in_order, recorded
from pytest_prunecal.study.pairing import Pairing
from pytest_prunecal.study.tolerance import EXACT, Tolerance, rule_of
from pytest_prunecal.study.uncertainty import UNKNOWN, within_reach

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_prunecal.judge.auto_tolerance import Allowance
    from pytest_prunecal.study.measurement import Number
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.prior import Noise
    from pytest_prunecal.study.uncertainty import Uncertainty

# Bounds and recorded numbers are decimal fractions; this only absorbs their binary representation.
_REPRESENTATION = 1e-9


class Status(str, Enum):
    """What one comparison says, mildest first."""

    OK = "ok"
    IMPROVEMENT = "improvement"
    CHANGED = "changed"
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
        allowance: what noise explains, where the rule is `auto` and there is something to compare.
        baseline_uncertainty: how sure the accepted number is.
        measured_uncertainty: how sure the measured number is.
        p_value: probability that noise alone explains the change for the worse; None under a fixed tolerance.
        replayed: whether the cell's numbers are those of the baseline's first seed, this one among them.
        alone: what noise explains by the baseline file alone, where there is an `allowance`.
        alone_p_value: `p_value` by the baseline file alone, which `p_value` never exceeds.
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
    alone: Allowance | None = None
    alone_p_value: float | None = None

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

    @property
    def replayed(self) -> bool:
        """Whether the numbers are those of the baseline's first seed, to every recorded digit."""
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
        """Whether every metric equals its baseline, or that of its first seed, as far as it is recorded."""
        unchanged = all(verdict.replayed or verdict.change == 0 for verdict in self.metrics)
        return self.status is Status.OK and unchanged

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


@dataclass(frozen=True)
class Circumstances:
    """All that `tolerance: auto` takes into account besides the two sets of numbers.

    Attributes:
        noise: the protocol's prior of the training noise.
        false_alarms: rate of runs without a change that may fail, in (0, 1).
        comparisons: how many comparisons under `auto` the whole run makes, >= 1.
        min_effect: by metric, the change below which nobody cares.
        measured: by metric, how sure the measured number is.
        accepted: by metric, how sure the accepted number is.
        dense: the accepted numbers of the model's dense cell.
        same_base: whether both sides started from the same base network by what the baseline file says.
        share_base: whether all seeds of a side, the measured and the accepted, started from one base network.
        pairing: how the two sides relate by what lies beside the file. Nobody can review that: it may sharpen
            a comparison and never make one milder.
        first: the baseline's numbers under its first seed alone, those that still stand for its means; empty
            if they are not at hand. From beside the file, too.
        incomparable: by metric, why its two numbers do not measure the same.
    """

    noise: Noise
    false_alarms: float
    comparisons: int = 1
    min_effect: Mapping[str, Tolerance] = field(default_factory=dict)
    measured: Mapping[str, Uncertainty] = field(default_factory=dict)
    accepted: Mapping[str, Uncertainty] = field(default_factory=dict)
    dense: Mapping[str, Number] = field(default_factory=dict)
    same_base: bool = False
    share_base: tuple[bool, bool] = (False, False)
    pairing: Pairing = field(default_factory=Pairing)
    first: Mapping[str, float] = field(default_factory=dict)
    incomparable: Mapping[str, str] = field(default_factory=dict)


def judge(
    measured: Mapping[str, Number],
    accepted: Mapping[str, Number] | None,
    tolerances: Mapping[str, Tolerance],
    metrics: Mapping[str, Metric],
    circumstances: Circumstances,
) -> CellVerdict:
    """Compare one cell's measured metrics with its accepted ones, names both ways.

    Args:
        measured: metric name to finite number.
        accepted: the baseline's numbers; None if the cell has no baseline.
        tolerances: metric name to the rule that applies; `auto` for a metric without one.
        metrics: what is known of each metric; a metric that is not known is compared as lower-is-better.
        circumstances: what `auto` takes into account.

    Returns:
        The verdict. A change for the worse beyond tolerance is a regression, one for the better beyond
        tolerance an improvement; a metric that only one side has is missing. Under `auto`, metrics are
        rejected by Holm's procedure (1979) at the cell's place in the whole run.
    """
    if accepted is None:
        rows = [
            MetricVerdict(
                name,
                Status.MISSING,
                None,
                recorded(measured[name]),
                rule_of(name, tolerances),
                measured_uncertainty=circumstances.measured.get(name, UNKNOWN),
            )
            for name in in_order(measured, metrics)
        ]
        return CellVerdict(Status.MISSING, tuple(rows), "no accepted numbers for this cell")
    rows = [
        _compare(
            name, measured.get(name), accepted.get(name), rule_of(name, tolerances), metrics, circumstances
        )
        for name in in_order({*measured, *accepted}, metrics)
    ]
    replayed = not circumstances.incomparable and _replayed(rows, measured, circumstances)
    rows = _by_holm(rows, circumstances)
    # The very network that was accepted: one seed differs from the mean of several, no more.
    if replayed:
        rows = [
            replace(row, status=Status.OK, replayed=True) if row.metric in circumstances.first else row
            for row in rows
        ]
    gravest = max((row.status for row in rows), key=_SEVERITY.index, default=Status.OK)
    reasons = [circumstances.incomparable[row.metric] for row in rows if row.status is Status.INCOMPARABLE]
    return CellVerdict(gravest, tuple(rows), "; ".join(dict.fromkeys(reasons)))


def _compare(
    name: str,
    measured: Number | None,
    baseline: Number | None,
    tolerance: Tolerance,
    metrics: Mapping[str, Metric],
    circumstances: Circumstances,
) -> MetricVerdict:
    ours = circumstances.measured.get(name, UNKNOWN).recorded
    theirs = circumstances.accepted.get(name, UNKNOWN)
    rounded = None if measured is None else recorded(measured)
    row = MetricVerdict(name, Status.MISSING, baseline, rounded, tolerance, None, theirs, ours)
    if rounded is None or baseline is None:
        return row
    if name in circumstances.incomparable:
        return replace(row, status=Status.INCOMPARABLE)
    known = metrics.get(name)
    sign = -1 if known and known.higher_is_better else 1
    if not tolerance.auto:
        bound = tolerance.bound(baseline) + _REPRESENTATION
        return replace(row, status=_status(sign * (rounded - baseline), bound))
    room = circumstances.min_effect.get(name, EXACT).bound(baseline)
    terms = Terms(circumstances.noise, circumstances.false_alarms / circumstances.comparisons, room)

    def by(pairing: Pairing) -> Allowance:
        here, there = circumstances.share_base
        sides = Sample(rounded, ours, here), Sample(baseline, theirs, there)
        return allowance(name, *sides, circumstances.dense.get(name), pairing, terms)

    def chance(found: Allowance) -> float:
        worsening = sign * found.change
        return found.p_value(worsening) if worsening > room + _REPRESENTATION else 1.0

    beside = circumstances.pairing
    alone = by(Pairing(same_base=circumstances.same_base, tuned=beside.tuned))
    found = sharper(by(replace(beside, same_base=circumstances.same_base or beside.same_base)), alone)
    if chance(alone) < chance(found) and sign * alone.change > alone.bound:
        found = alone  # the change from the base network excuses nothing
    status = Status.OK
    if _status(sign * found.change, found.bound + _REPRESENTATION) is Status.IMPROVEMENT:
        # A network that is suddenly smaller was pruned in another way than the one that was accepted.
        status = Status.CHANGED if known and known.structure else Status.IMPROVEMENT
    return replace(
        row,
        status=status,
        allowance=found,
        p_value=min(chance(found), chance(alone)),
        alone=alone,
        alone_p_value=chance(alone),
    )


def _replayed(
    rows: list[MetricVerdict], measured: Mapping[str, Number], circumstances: Circumstances
) -> bool:
    """Whether the numbers are those of the baseline's first seed, and can be by what its file says."""
    first = circumstances.first
    if any(name not in measured or recorded(first[name]) != recorded(measured[name]) for name in first):
        return False
    if max((sure.seeds for sure in circumstances.accepted.values()), default=1) == 1:
        return all(row.change == 0 for row in rows if row.metric in first)
    p_values = {row.metric: row.alone_p_value for row in rows if row.alone_p_value is not None}
    worse = rejected(p_values, circumstances.false_alarms, circumstances.comparisons)
    return not worse & first.keys() and all(
        row.measured is not None
        and row.baseline is not None
        and within_reach(row.measured, row.baseline, row.baseline_uncertainty)
        for row in rows
        if row.metric in first
    )


def _status(worsening: float, bound: float) -> Status:
    if worsening > bound:
        return Status.REGRESSION
    return Status.IMPROVEMENT if -worsening > bound else Status.OK


def _by_holm(rows: list[MetricVerdict], circumstances: Circumstances) -> list[MetricVerdict]:
    """Turn what Holm's procedure rejects into regressions, the cell's own comparisons alone being known."""
    p_values = {row.metric: row.p_value for row in rows if row.p_value is not None}
    names = rejected(p_values, circumstances.false_alarms, circumstances.comparisons)
    return [replace(row, status=Status.REGRESSION) if row.metric in names else row for row in rows]
