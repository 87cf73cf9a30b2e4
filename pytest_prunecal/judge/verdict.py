"""Verdicts: what comparing a measurement with its baseline says. Pure functions of numbers."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from pytest_prunecal.judge.auto_tolerance import Terms, allowance, plan_of
from pytest_prunecal.judge.compared import compare
from pytest_prunecal.judge.screen import ruler, told
from pytest_prunecal.judge.sequence import MOST, next_look
from pytest_prunecal.study.metric import DECIMALS, in_order, recorded
from pytest_prunecal.study.tolerance import EXACT, Tolerance, rule_of
from pytest_prunecal.study.uncertainty import UNKNOWN, within_reach

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_prunecal.judge.auto_tolerance import Allowance, Change
    from pytest_prunecal.judge.compared import Compared, Sides
    from pytest_prunecal.judge.screen import Difference
    from pytest_prunecal.study.measurement import Number
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.uncertainty import Uncertainty

# Bounds and recorded numbers are decimal fractions; this only absorbs their binary representation.
_REPRESENTATION = 1e-9
_WHOLE = 0.5  # how far rounding takes a count


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
    """

    status: Status
    metrics: tuple[MetricVerdict, ...]
    reason: str = ""
    differences: tuple[Difference, ...] = ()
    screened: bool = False
    seeds: int = 1
    more: int = 0

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
        sides: what the comparisons rest on.
        level: false-alarm rate of one noisy comparison at each look, in (0, 1).
        most: seeds over which a cell in doubt is looked at, at most.
        min_effect: by metric, the change below which nobody cares.
        measured: by metric, how sure the measured number is.
        first: the baseline's numbers under its first seed alone, those that still stand for its means; empty
            if they are not known.
        incomparable: by metric, why its two numbers do not measure the same.
        differences: what the cell computed otherwise than the accepted one; None where that is not known.
        changed_fails: whether a cell that is pruned or fine-tuned otherwise fails.
    """

    sides: Sides
    level: float
    most: int = MOST
    min_effect: Mapping[str, Tolerance] = field(default_factory=dict)
    measured: Mapping[str, Uncertainty] = field(default_factory=dict)
    first: Mapping[str, float] = field(default_factory=dict)
    incomparable: Mapping[str, str] = field(default_factory=dict)
    differences: tuple[Difference, ...] | None = None
    changed_fails: bool = False


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
        tolerance an improvement; a metric that only one side has is missing. Where what everything is
        measured with is not what it was, the cell is changed.
    """
    seeds = circumstances.sides.seeds
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
        return CellVerdict(Status.MISSING, tuple(rows), "no accepted numbers for this cell", seeds=seeds)
    rows = [
        _compare(
            name, measured.get(name), accepted.get(name), rule_of(name, tolerances), metrics, circumstances
        )
        for name in in_order({*measured, *accepted}, metrics)
    ]
    # The very trainings that were accepted: some seeds differ from the mean of all, no more.
    if not circumstances.incomparable and _replayed(rows, circumstances):
        rows = [
            replace(row, status=Status.OK, replayed=True, more=0)
            if row.metric in circumstances.first
            else row
            for row in rows
        ]
    differences = circumstances.differences or ()
    changed = ruler(differences) or (told(differences) if circumstances.changed_fails else "")
    statuses = [row.status for row in rows] + ([Status.CHANGED] if changed else [])
    gravest = max(statuses, key=_SEVERITY.index, default=Status.OK)
    reasons = [circumstances.incomparable[row.metric] for row in rows if row.status is Status.INCOMPARABLE]
    if gravest is Status.CHANGED and changed:
        reasons = [changed]
    wanted = [row.more for row in rows if row.more]
    return CellVerdict(
        gravest,
        tuple(rows),
        "; ".join(dict.fromkeys(reasons)),
        differences,
        circumstances.differences is not None,
        seeds,
        # What fails already is not looked at longer.
        0 if gravest.fails or not wanted else min(wanted),
    )


def _compare(
    name: str,
    measured: Number | None,
    baseline: Number | None,
    tolerance: Tolerance,
    metrics: Mapping[str, Metric],
    circumstances: Circumstances,
) -> MetricVerdict:
    sides, known = circumstances.sides, metrics.get(name)
    ours = circumstances.measured.get(name, UNKNOWN).recorded
    theirs = sides.accepted.get(name, UNKNOWN)
    rounded = None if measured is None else recorded(measured)
    row = MetricVerdict(name, Status.MISSING, baseline, rounded, tolerance, None, theirs, ours)
    if rounded is None or baseline is None:
        return row
    if name in circumstances.incomparable:
        return replace(row, status=Status.INCOMPARABLE)
    if not tolerance.auto:
        sign = -1 if known and known.higher_is_better else 1
        bound = tolerance.bound(baseline) + _REPRESENTATION
        return replace(row, status=_status(sign * (rounded - baseline), bound))
    room = circumstances.min_effect.get(name, EXACT).bound(baseline)
    terms = Terms(circumstances.level, room, circumstances.most)
    compared = compare(name, known, rounded, baseline, sides, seeds=sides.seeds)
    first = sides.each.get(name, [rounded])[0]
    both = (compared.found, compared.alone)
    judged = [_look(one, terms, known) for one in both]
    # What lies beside the file excuses nothing: what the file alone rejects or allows less is what is said.
    which = max((0, 1), key=lambda one: (judged[one].rejected, -judged[one].allowance.bound))
    found = judged[which].allowance
    status = Status.OK
    if judged[which].rejected:
        status = Status.REGRESSION
    elif known and known.structure:
        # A network that is suddenly smaller was pruned in another way than the one that was accepted.
        better = [_look(one.mirrored, terms, known) for one in both]
        judged += better
        status = Status.CHANGED if any(one.rejected for one in better) else Status.OK
    elif _improved(both[which], found, terms):
        status = Status.IMPROVEMENT
    p_value = min(one.p_value for one in judged[:2])
    if compared.first and _agrees(compared.first, terms, known) and judged[1].p_value > terms.level:
        judged = judged[:1]
    return replace(
        row,
        status=status,
        allowance=found,
        p_value=p_value,
        more=0 if status.fails else max(one.more for one in judged),
        single=compared
        if sides.seeds == 1
        else compare(name, known, recorded(first), baseline, sides, seeds=1),
    )


class _Look(NamedTuple):
    """What a look at one comparison comes to: a regression, or over how many seeds to look next (0: none)."""

    allowance: Allowance
    p_value: float
    rejected: bool
    more: int


def _p_value(change: Change, terms: Terms) -> float:
    return change.p_value(terms.min_effect + _REPRESENTATION)


def _look(change: Change, terms: Terms, metric: Metric | None) -> _Look:
    """Look at a comparison over the seeds that it has."""
    room, p_value = allowance(change, terms, metric), _p_value(change, terms)
    plan = room.plan
    if plan is None:
        return _Look(room, p_value, rejected=p_value == 0, more=0)
    more = next_look(change.seeds, plan.most)
    if p_value <= terms.level:
        # A single training that went wrong must not be a regression.
        return _Look(room, p_value, rejected=plan.decides(change.seeds), more=more)
    goes_on = change.scaled / change.sd > plan.goes_on(change.seeds)
    return _Look(room, p_value, rejected=False, more=more if goes_on else 0)


def _improved(change: Change, room: Allowance, terms: Terms) -> bool:
    """Whether a change for the better is more than noise over the seeds that it has."""
    beyond = -change.worse > room.bound + _REPRESENTATION
    return beyond and _p_value(change.mirrored, terms) <= terms.level


def _agrees(first: Change, terms: Terms, metric: Metric | None) -> bool:
    """Whether the first seed came out again as the baseline file has it: then the cell is settled.

    Compared with the mean alone, every seed that came out worse than others when it was accepted would be
    looked at longer, every time. Only that it is the same training is known from beside the file. Where that
    is not true, a cell is settled that would have been looked at again: one no worse than the accepted first
    seed, which people reviewed, by more than half a deviation.
    """
    if first.deviation == 0:
        return _p_value(first, terms) == 1
    return first.scaled / first.sd <= plan_of(first, terms, metric).goes_on(1)


def _replayed(rows: list[MetricVerdict], circumstances: Circumstances) -> bool:
    """Whether the numbers are those of the baseline's own seeds, as far as its file lets them be."""
    sides, first = circumstances.sides, circumstances.first
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
        if not reviewed and row.p_value is not None and row.p_value <= circumstances.level:
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


def _status(worsening: float, bound: float) -> Status:
    if worsening > bound:
        return Status.REGRESSION
    return Status.IMPROVEMENT if -worsening > bound else Status.OK
