"""The columns of comparisons, said once: of a cell with its baseline, and of several cells together.

Every report prints these, each in its own way; a new column is one entry here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pytest_prunecal.judge.pooled import Pooled
from pytest_prunecal.judge.verdict import MetricVerdict, Recovered, Status
from pytest_prunecal.report.numbers import amount, caught, finite, in_unit, number, signed
from pytest_prunecal.report.wording import metric_of
from pytest_prunecal.study.metric import recorded, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.uncertainty import Uncertainty

Row = TypeVar("Row", MetricVerdict, Pooled, Recovered)


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column.

    Attributes:
        key: its name for programs; empty where they know it anyway.
        heading: its name for people.
        value: what programs read of a row.
        text: what people read of a row about a metric; reports dress metrics and verdicts in their own way.
        kind: what stands in it.
        sure: how sure its numbers are; None for a column that does not say.
        blind: whether noise hides smaller changes that matter; None for a column that does not say.
    """

    key: str
    heading: str
    value: Callable[[Row], Any]
    text: Callable[[Row, Metric], str]
    kind: Literal["metric", "number", "text", "verdict"] = "number"
    sure: Callable[[Row], Uncertainty] | None = None
    blind: Callable[[Row], bool] | None = None


def rule_of(row: MetricVerdict) -> str:
    """A comparison's tolerance, and where it is written."""
    return f"{row.tolerance} ({row.tolerance.source})"


def allowed(row: MetricVerdict, metric: Metric) -> str:
    """How far a metric may get worse; under `auto` what was compared where that is not the change itself.

    `any` where noise explains more than there can be.
    """
    if row.bound is None:
        return ""
    if row.allowance and row.allowance.sd and caught(row.bound, metric, row.baseline) == "none":
        return "any"
    bound = written(in_unit(row.bound, metric, math.floor))
    if row.allowance and row.allowance.against_base:
        return f"{bound} for {signed(recorded(row.allowance.change))} against the base"
    return bound


def _rule(row: MetricVerdict) -> dict[str, Any]:
    rule = row.tolerance
    return {"abs": rule.abs, "rel": rule.rel, "source": rule.source, "auto": rule.auto}


def _mean_change(row: Pooled, metric: Metric) -> str:
    """The mean change of a model's cells, with its sign."""
    return signed(in_unit(row.change, metric))


def _mean_allowed(row: Pooled, metric: Metric) -> str:
    """How far the mean may get worse; `any` where noise explains more than there can be."""
    return "any" if caught(row.bound, metric) == "none" else amount(row.bound, metric)


def _caught(row: MetricVerdict, metric: Metric) -> str:
    """The smallest change that is caught; where there is noise, `none` if none that is possible is."""
    if row.allowance is None:
        return ""
    detectable = row.allowance.detectable
    return caught(detectable, metric, row.baseline) if row.allowance.sd else amount(detectable, metric)


CAUGHT: Column[MetricVerdict] = Column(
    "detectable",
    "caught from",
    lambda row: row.allowance.detectable if row.allowance else None,
    _caught,
    blind=lambda row: bool(row.allowance and row.allowance.blind),
)
CELL: tuple[Column[MetricVerdict], ...] = (
    Column("", "metric", lambda row: row.metric, lambda row, _: row.metric, "metric"),
    Column(
        "baseline",
        "baseline",
        lambda row: row.baseline,
        lambda row, _: number(row.baseline),
        sure=lambda row: row.baseline_uncertainty,
    ),
    Column(
        "measured",
        "measured",
        lambda row: row.measured,
        lambda row, _: number(row.measured),
        sure=lambda row: finite(row.measured_uncertainty),
    ),
    Column("change", "change", lambda row: row.change, lambda row, _: signed(row.change)),
    Column("allowed", "allowed", lambda row: row.bound, allowed),
    CAUGHT,
    Column("tolerance", "tolerance", _rule, lambda row, _: rule_of(row), "text"),
    Column("status", "verdict", lambda row: row.status.value, lambda row, _: row.status.value, "verdict"),
)
"""A cell with its baseline, metric by metric."""

POOLED: tuple[Column[Pooled], ...] = (
    Column("metric", "metric", lambda row: row.metric, lambda row, _: row.metric, "metric"),
    Column("group", "of", lambda row: row.group, lambda row, _: row.group or "all pruners", "text"),
    Column("cells", "cells", lambda row: row.cells, lambda row, _: str(row.cells)),
    Column("change", "mean change", lambda row: row.change, _mean_change),
    Column("allowed", "allowed", lambda row: row.bound, _mean_allowed),
    Column(
        "detectable",
        "caught from",
        lambda row: row.detectable,
        lambda row, metric: caught(row.detectable, metric),
    ),
    Column("status", "verdict", lambda row: row.status.value, lambda row, _: row.status.value, "verdict"),
)
"""Several cells of a model together, metric by metric: all, and pruner by pruner."""


def share(row: Recovered) -> str:
    """What is left of the dense network's number, in percent."""
    return "" if row.share is None else f"{100 * row.share:.1f}%"


RECOVERY: tuple[Column[Recovered], ...] = (
    Column("metric", "metric", lambda row: row.metric, lambda row, _: row.metric, "metric"),
    Column("dense", "dense", lambda row: row.dense, lambda row, _: number(row.dense)),
    Column("measured", "measured", lambda row: row.measured, lambda row, _: number(row.measured)),
    Column("change", "change", lambda row: row.change, lambda row, _: signed(row.change)),
    Column("share", "of dense", lambda row: row.share, lambda row, _: share(row)),
    Column(
        "allowed",
        "allowed",
        lambda row: row.bound,
        lambda row, metric: (
            "any" if caught(row.bound, metric, row.dense) == "none" else amount(row.bound, metric)
        ),
    ),
    Column(
        "detectable",
        "caught from",
        lambda row: row.detectable,
        lambda row, metric: caught(row.detectable, metric, row.dense),
    ),
    Column(
        "rule", "rule", lambda row: str(row.rule), lambda row, _: f"{row.rule} ({row.rule.where})", "text"
    ),
    Column("status", "verdict", lambda row: row.status.value, lambda row, _: row.status.value, "verdict"),
)
"""A cell with the dense network of the same run, metric by metric."""


def worse_in(rows: Iterable[Pooled], metrics: Mapping[str, Metric]) -> str:
    """In which metrics cells got worse together, and by how much: `accuracy -0.0123, filter ece +0.0100`."""
    worse = (row for row in rows if row.status is Status.REGRESSION)
    return ", ".join(
        f"{row.group} {row.metric} {_mean_change(row, metric_of(row.metric, metrics))}".lstrip()
        for row in worse
    )
