"""Judging a cell: its measured numbers against its accepted ones. Pure functions of numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from pytest_prunecal.judge.auto_tolerance import Terms, allowance, plan_of
from pytest_prunecal.judge.compared import compare
from pytest_prunecal.judge.recovery import recovered
from pytest_prunecal.judge.replay import replayed
from pytest_prunecal.judge.screen import ruler, told
from pytest_prunecal.judge.sequence import next_look
from pytest_prunecal.judge.verdict import CellVerdict, MetricVerdict, Status
from pytest_prunecal.study.looks import MOST
from pytest_prunecal.study.metric import in_order, recorded
from pytest_prunecal.study.tolerance import EXACT, Tolerance, rule_of
from pytest_prunecal.study.uncertainty import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_prunecal.judge.auto_tolerance import Allowance, Change
    from pytest_prunecal.judge.compared import Sides
    from pytest_prunecal.judge.screen import Difference
    from pytest_prunecal.study.against_dense import AgainstDense
    from pytest_prunecal.study.measurement import Number
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.recovery import Recovery
    from pytest_prunecal.study.uncertainty import Uncertainty

# Bounds and recorded numbers are decimal fractions; this only absorbs their binary representation.
_REPRESENTATION = 1e-9

_SEVERITY = list(Status)

SAME_FILE = "the network is the very file that was accepted: what it is measured with has changed"


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
        recovery: by metric, what the cell keeps of the dense network of the same run.
        dense: by metric, what the dense network has.
        without_baseline: whether the model has no baseline file, and rules of recovery judge its cells alone.
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
    recovery: Mapping[str, Recovery] = field(default_factory=dict)
    dense: Mapping[str, AgainstDense] = field(default_factory=dict)
    without_baseline: bool = False


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
        measured with is not what it was, the cell is changed. Where a rule of recovery is not kept, it is
        unrecovered, whatever the baseline has.
    """
    found = _against_baseline(measured, accepted, tolerances, metrics, circumstances)
    rows = recovered(
        measured,
        circumstances.dense,
        circumstances.recovery,
        metrics,
        accepted or {},
        circumstances.sides,
        level=circumstances.level,
        most=circumstances.most,
    )
    alone = circumstances.without_baseline
    told = Status.OK if alone else found.status
    gravest = max((told, *(row.status for row in rows)), key=_SEVERITY.index)
    wanted = [count for count in (found.more, *(row.more for row in rows)) if count]
    return replace(
        found,
        status=gravest,
        metrics=tuple(replace(row, status=Status.OK) for row in found.metrics) if alone else found.metrics,
        reason=found.reason if gravest is found.status and not alone else "",
        by_baseline=found.status,
        without_baseline=alone,
        finished=circumstances.sides.finished,
        recovery=rows,
        more=0 if gravest.fails or not wanted else min(wanted),
    )


def _against_baseline(
    measured: Mapping[str, Number],
    accepted: Mapping[str, Number] | None,
    tolerances: Mapping[str, Tolerance],
    metrics: Mapping[str, Metric],
    circumstances: Circumstances,
) -> CellVerdict:
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
    sides = circumstances.sides
    # The very trainings that were accepted: some seeds differ from the mean of all, no more.
    if not (sides.finished or circumstances.incomparable) and replayed(
        rows, sides, circumstances.first, circumstances.level
    ):
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
    elif gravest is Status.CHANGED and sides.same_network:
        reasons = [SAME_FILE]
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
    if sides.same_network:
        # It cannot have become another, for the worse or for the better.
        either = (compared.found, compared.found.mirrored)
        status = Status.CHANGED if any(_look(one, terms, known).rejected for one in either) else Status.OK
    elif judged[which].rejected:
        status = Status.REGRESSION
    elif known and known.structure and not sides.finished:
        # A network that is suddenly smaller was pruned in another way than the one that was accepted.
        better = [_look(one.mirrored, terms, known) for one in both]
        judged += better
        status = Status.CHANGED if any(one.rejected for one in better) else Status.OK
    elif _improved(both[which], found, terms):
        status = Status.IMPROVEMENT
    p_value = min(one.p_value for one in judged[:2])
    if compared.first and _agrees(compared.first, terms, known) and not judged[1].condemned:
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
    """What a look at one comparison comes to: a regression, or over how many seeds to look next (0: none).

    What is condemned is beyond noise, and a regression where the look may decide.
    """

    allowance: Allowance
    p_value: float
    condemned: bool
    rejected: bool
    more: int


def _p_value(change: Change, terms: Terms) -> float:
    return change.p_value(terms.min_effect + _REPRESENTATION)


def _look(change: Change, terms: Terms, metric: Metric | None) -> _Look:
    """Look at a comparison over the seeds that it has."""
    room, p_value = allowance(change, terms, metric), _p_value(change, terms)
    plan = room.plan
    if plan is None:
        return _Look(room, p_value, condemned=p_value == 0, rejected=p_value == 0, more=0)
    more = next_look(change.seeds, plan.most)
    if p_value <= plan.level:
        # A single training that went wrong must not be a regression.
        return _Look(room, p_value, condemned=True, rejected=plan.decides(change.seeds), more=more)
    goes_on = change.scaled / change.sd > plan.goes_on(change.seeds)
    return _Look(room, p_value, condemned=False, rejected=False, more=more if goes_on else 0)


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


def _status(worsening: float, bound: float) -> Status:
    if worsening > bound:
        return Status.REGRESSION
    return Status.IMPROVEMENT if -worsening > bound else Status.OK
