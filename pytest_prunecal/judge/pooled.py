"""All cells of a model together: what each hides in its noise, many of them show.

A fault in code seldom harms one cell alone. The trainings of cells that start from the same base network
are independent of each other, so the mean of their changes, each weighted by the inverse of its variance,
has a far smaller deviation than any of them. What cells do share is the error of the protocol's prior: if
it takes a metric's noise for too small, it does so in all of them. One factor for the whole model,
estimated from the deviations over seeds of all its cells, makes up for that, and lends the mean its degrees
of freedom.

What lies beside a baseline file makes cells sharper, and so weighs them. Nobody can review it: a regression
of the mean by the file alone stays one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_prunecal.judge import student_t
from pytest_prunecal.judge.auto_tolerance import POWER
from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.study.metric import in_order
from pytest_prunecal.study.tolerance import EXACT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_prunecal.judge.auto_tolerance import Allowance
    from pytest_prunecal.judge.verdict import CellVerdict, MetricVerdict
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.tolerance import Tolerance

FEWEST = 2
SMALLEST = 1e-70


@dataclass(frozen=True)
class Pooled:
    """One metric over the cells of a model.

    Attributes:
        metric: its name.
        status: ok, improvement or regression.
        change: weighted mean of the cells' changes, in the metric's unit.
        bound: how far it may go for the worse.
        detectable: the smallest true mean change for the worse that is caught with a probability of 0.95.
        cells: how many cells.
        p_value: probability that noise alone takes it this far for the worse.
    """

    metric: str
    status: Status
    change: float
    bound: float
    detectable: float
    cells: int
    p_value: float


def together(
    cells: Iterable[CellVerdict],
    metrics: Mapping[str, Metric],
    min_effect: Mapping[str, Tolerance],
    level: float,
    prior_freedom: int,
) -> tuple[Pooled, ...]:
    """Compare those cells of a model all at once that changed; arguments and answer as of `pooled`.

    Whether a cell repeats the baseline's first seed is known from beside the file; by the file alone, such a
    cell counts like any other.
    """
    cells = list(cells)
    terms = metrics, min_effect, level, prior_freedom
    found = pooled((row for cell in cells if not cell.identical for row in cell.metrics), *terms)
    alone = pooled(
        (replace(row, allowance=row.alone) for cell in cells if not cell.unchanged for row in cell.metrics),
        *terms,
    )
    by_metric = {one.metric: one for one in found}
    worse = {one.metric: one for one in alone if one.status is Status.REGRESSION}
    for name, one in worse.items():
        if name not in by_metric or by_metric[name].status is not Status.REGRESSION:
            by_metric[name] = one
    return tuple(by_metric[name] for name in in_order(by_metric, metrics))


def pooled(
    rows: Iterable[MetricVerdict],
    metrics: Mapping[str, Metric],
    min_effect: Mapping[str, Tolerance],
    level: float,
    prior_freedom: int,
) -> tuple[Pooled, ...]:
    """Compare a model's cells all at once, metric by metric.

    Args:
        rows: the comparisons of all its cells.
        metrics: what is known of each metric.
        min_effect: by metric, the change below which nobody cares, here of the mean over cells.
        level: false-alarm rate of one comparison.
        prior_freedom: degrees of freedom of the protocol's prior.

    Returns:
        One for each metric that at least two cells compare from the same base network under `auto`.
    """
    by_metric: dict[str, list[MetricVerdict]] = {}
    for row in rows:
        if row.allowance and row.allowance.independent and _in_range(row.allowance):
            by_metric.setdefault(row.metric, []).append(row)
    return tuple(
        _pool(name, by_metric[name], metrics.get(name), min_effect.get(name, EXACT), level, prior_freedom)
        for name in in_order(by_metric, metrics)
        if len(by_metric[name]) >= FEWEST
    )


def _in_range(found: Allowance) -> bool:
    """Whether squares stay in the range of floating point."""
    return SMALLEST < found.prior_sd < 1 / SMALLEST and found.seen[0] < 1 / SMALLEST


def _pool(
    name: str,
    rows: list[MetricVerdict],
    known: Metric | None,
    effect: Tolerance,
    level: float,
    prior_freedom: int,
) -> Pooled:
    cells = [(row.allowance, row.baseline or 0.0) for row in rows if row.allowance]
    weights = [1 / (cell.prior_sd * cell.prior_sd) for cell, _ in cells]
    share = [weight / sum(weights) for weight in weights]
    freedom = prior_freedom + sum(cell.seen[1] for cell, _ in cells)
    factor = (prior_freedom + sum(cell.seen[0] for cell, _ in cells)) / freedom
    sd = math.sqrt(factor / sum(weights))
    change = sum(part * cell.change for part, (cell, _) in zip(share, cells, strict=True))
    floor = sum(part * effect.bound(baseline) for part, (_, baseline) in zip(share, cells, strict=True))
    bound = max(student_t.quantile(level, freedom) * sd, floor)
    worsening = -change if known and known.higher_is_better else change
    status = Status.REGRESSION if worsening > bound else Status.OK
    return Pooled(
        name,
        Status.IMPROVEMENT if -worsening > bound else status,
        change,
        bound,
        bound + student_t.quantile(1 - POWER, freedom) * sd,
        len(cells),
        student_t.tail(worsening / sd, freedom) if worsening > floor else 1.0,
    )
