"""Cells of a model together, pruner by pruner and all at once: what each hides in its noise, many show.

A fault in code seldom harms one cell alone. The trainings of cells that start from the same base network
are independent of each other, so the mean of their changes, each weighted by the inverse of its variance,
has a far smaller deviation than any of them. The first seed of each cell takes part and no further one: how
many seeds a cell was looked at over depends on how bad the first ones were, which would bend the mean. The
degrees of freedom of the mean's variance are Satterthwaite's (1946, Biometrics Bulletin 2:110). Cells that
seem quieter than they are weigh more than they should; so each one's variance is that of its Student's t,
f / (f - 2) times as large, as it is of the mean's (after Meier 1953, Biometrics 9:59). Where the prior is
wrong, it is for all cells alike, and as wrong as it and all accepted seeds together leave it: that takes its
own part from the degrees of freedom.

What lies beside a baseline file makes cells sharper, and so weighs them. Nobody can review it: a regression
of the mean by the file alone stays one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_prunecal.judge import student_t
from pytest_prunecal.judge.noise import LEAST_FREEDOM
from pytest_prunecal.judge.rate import FEWEST
from pytest_prunecal.judge.scale import scale_of
from pytest_prunecal.judge.sequence import EARLIEST, POWER
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.study.metric import in_order
from pytest_prunecal.study.tolerance import EXACT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_prunecal.judge.auto_tolerance import Change
    from pytest_prunecal.judge.verdict import CellVerdict, MetricVerdict
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.tolerance import Tolerance

ALL = ""
"""The group of all cells."""

OF_FEW_SEEDS = 0.1
"""Share of the rate where fewer than five seeds were accepted.

They hardly tell how far trainings differ, and whatever is wrong with that is so in all cells: of runs without
a change against baselines of three seeds, 8 of 300 failed before, most of them by all cells together.
"""

_POOLED = ("same seed", "same base")
_SMALLEST, _LARGEST = 1e-70, 1e70
_FEWEST_FREEDOM = 3


@dataclass(frozen=True)
class Pooled:
    """One metric over several cells of a model.

    Attributes:
        group: the pruner whose cells they are; empty for those of all pruners.
        metric: its name.
        status: ok, improvement or regression.
        change: weighted mean of the cells' changes, in the metric's unit.
        bound: how far it may go for the worse.
        detectable: the smallest true mean change for the worse that is caught with a probability of 0.95.
        cells: how many cells.
        p_value: probability that noise alone takes it this far for the worse.
    """

    group: str
    metric: str
    status: Status
    change: float
    bound: float
    detectable: float
    cells: int
    p_value: float


@dataclass(frozen=True)
class _Part:
    """One cell's part, in the metric's unit: its change for the worse, and how sure that is.

    `moved` is the change on the metric's scale, where noise is no likelier to go far to the bad side, divided
    by the slope of the scale; `own` are the degrees of freedom that the cell's own trainings gave.
    """

    worse: float
    moved: float
    variance: float
    freedom: int
    own: int
    prior: int
    floor: float
    accepted: int


def together(
    cells: Iterable[tuple[str | None, CellVerdict]],
    metrics: Mapping[str, Metric],
    min_effect: Mapping[str, Tolerance],
    level: float,
) -> tuple[Pooled, ...]:
    """Compare those cells of a model together that changed.

    Whether a cell repeats the baseline's own seeds may be known from beside the file alone; then, by the
    file, such a cell counts like any other.

    Args:
        cells: each one's pruner, None for the dense cell, and its verdict.
        metrics: what is known of each metric.
        min_effect: by metric, the change below which nobody cares, here of the mean over cells.
        level: false-alarm rate of one comparison.

    Returns:
        For all cells and for each pruner's, one for each metric that at least two cells compare from the same
        base network under `auto`; pruners whose cells are all that there are have none of their own.
    """
    cells = [(pruner, cell) for pruner, cell in cells if pruner is not None]
    pruners = list(dict.fromkeys(pruner for pruner, _ in cells if pruner))
    groups = [ALL, *(pruners if len(pruners) > 1 else ())]
    found: list[Pooled] = []
    for group in groups:
        verdicts = [cell for pruner, cell in cells if group in (ALL, pruner)]
        sharp = [row for cell in verdicts if not cell.identical for row in cell.metrics]
        plain = [row for cell in verdicts if not (cell.unchanged or cell.reviewed) for row in cell.metrics]
        by_metric = _group(group, sharp, 0, metrics, min_effect, level)
        for name, one in _group(group, plain, 1, metrics, min_effect, level).items():
            if one.status is Status.REGRESSION and (
                name not in by_metric or by_metric[name].status is not Status.REGRESSION
            ):
                by_metric[name] = one
        found += [by_metric[name] for name in in_order(by_metric, metrics)]
    return tuple(found)


def pool(
    group: str,
    name: str,
    changes: Iterable[tuple[Change, float]],
    metric: Metric | None,
    level: float,
) -> Pooled:
    """Pool changes of one metric that have noise, each with the smallest effect that matters in its cell.

    Args:
        group: see `Pooled`.
        name: the metric's.
        changes: at least one.
        metric: what is known of it.
        level: false-alarm rate of the comparison.
    """
    return _pool(group, name, [_part(change, metric, effect) for change, effect in changes], metric, level)


def _group(
    group: str,
    rows: Sequence[MetricVerdict],
    which: int,
    metrics: Mapping[str, Metric],
    min_effect: Mapping[str, Tolerance],
    level: float,
) -> dict[str, Pooled]:
    """Pool by metric what `rows` found (0), or what they are by the baseline file alone (1)."""
    parts: dict[str, list[_Part]] = {}
    for row in rows:
        change = row.single[which] if row.single else None
        if change and change.kind in _POOLED:
            effect = min_effect.get(row.metric, EXACT).bound(row.baseline or 0.0)
            part = _part(change, metrics.get(row.metric), effect)
            if _SMALLEST < part.variance < _LARGEST:
                parts.setdefault(row.metric, []).append(part)
    return {
        name: _pool(group, name, found, metrics.get(name), level)
        for name, found in parts.items()
        if len(found) >= FEWEST
    }


def _part(change: Change, metric: Metric | None, effect: float) -> _Part:
    slope = scale_of(metric).slope(change.yardstick)
    deviation = change.deviation / slope
    return _Part(
        worse=change.worse,
        moved=change.scaled / slope,
        variance=deviation * deviation * _of_t(change.freedom),
        freedom=change.freedom,
        own=_own(change),
        prior=change.prior,
        floor=effect,
        accepted=change.accepted,
    )


def _own(change: Change) -> int:
    # The fewest that there are is a belief about all cells, like the prior: none of it is a cell's own.
    return change.freedom - change.prior if change.freedom > LEAST_FREEDOM else max(change.accepted - 1, 0)


def _of_t(freedom: int) -> float:
    """Variance of Student's t; that of the fewest degrees of freedom with one where there are still fewer."""
    freedom = max(freedom, _FEWEST_FREEDOM)
    return freedom / (freedom - 2)


def _pool(group: str, name: str, parts: Sequence[_Part], metric: Metric | None, level: float) -> Pooled:
    weights = [1 / part.variance for part in parts]
    total = math.fsum(weights)
    worse = math.fsum(weight * part.worse for weight, part in zip(weights, parts, strict=True)) / total
    moved = math.fsum(weight * part.moved for weight, part in zip(weights, parts, strict=True)) / total
    floor = math.fsum(weight * part.floor for weight, part in zip(weights, parts, strict=True)) / total
    shares = [weight / total for weight in weights]
    own = sum(part.own for part in parts)
    satterthwaite = 1 / sum(share * share / part.freedom for share, part in zip(shares, parts, strict=True))
    in_common = max(own + max(part.prior for part in parts), LEAST_FREEDOM)
    freedom = max(round(1 / (1 / satterthwaite + 1 / in_common)), 1)
    sd = math.sqrt(1 / total / _of_t(freedom))
    if any(0 < part.accepted < EARLIEST for part in parts):
        level *= OF_FEW_SEEDS
    noise = student_t.quantile(level, freedom) * sd
    bound = max(noise, floor)
    status = Status.OK
    if worse > floor and moved > noise:
        status = Status.REGRESSION
    elif -worse > bound and -moved > noise:
        status = Status.IMPROVEMENT
    return Pooled(
        group,
        name,
        status,
        scale_of(metric).sign * worse,
        bound,
        bound + student_t.quantile(1 - POWER, freedom) * sd,
        len(parts),
        student_t.tail(moved / sd, freedom) if worse > floor else 1.0,
    )
