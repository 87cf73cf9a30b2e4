"""The study's figures: a metric against the pruning ratio, one line per pruner. A template draws them.

Cells without a ratio, such as those of `2:4` and of candidates, have no place in them; `left_out` names them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_prunecal.report.html.axes import Axis, nice_ticks, value_ticks
from pytest_prunecal.report.numbers import signed
from pytest_prunecal.study.metric import METRICS, shown, written
from pytest_prunecal.study.uncertainty import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_prunecal.report.run import CellResult, ModelRun, Run
    from pytest_prunecal.study.cell import Cell
    from pytest_prunecal.study.metric import Metric

LEFT, RIGHT, TOP, BOTTOM = 50, 330, 10, 188  # of the template's 340 by 230
COLOURS = 6
LARGEST = 1e12  # beyond it neither labels nor floating point leave a readable axis

# Outlines of radius 1, so that a pruner is told from another without its colour. The empty one is a circle.
Shape = tuple[tuple[float, float], ...]
CIRCLE: Shape = ()
DIAMOND: Shape = ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0))
_SHAPES: tuple[Shape, ...] = (
    CIRCLE,
    ((-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)),
    ((0, -1.15), (1.1, 0.8), (-1.1, 0.8)),
    ((0, 1.15), (1.1, -0.8), (-1.1, -0.8)),
)


@dataclass(frozen=True)
class Point:
    """One metric of one cell."""

    result: CellResult
    metric: Metric

    @property
    def measured(self) -> float | None:
        """What was measured; None if it was not."""
        return self.result.measured.get(self.metric.name)

    @property
    def baseline(self) -> float | None:
        """What is accepted; None if nothing is."""
        row = self.result.rows.get(self.metric.name)
        return row.baseline if row else None

    @property
    def values(self) -> list[float]:
        """What was measured and what is accepted."""
        return [value for value in (self.measured, self.baseline) if value is not None]

    @property
    def bar(self) -> tuple[float, ...]:
        """Both ends of the sampling error's bar, within the metric's bounds; none if there is no error."""
        error = self.result.sure(self.metric.name).se
        if self.measured is None or not error:
            return ()
        low, high = self.metric.bounds
        return (
            min(self.measured, max(self.measured - error, low)),
            max(self.measured, min(self.measured + error, high)),
        )

    def __str__(self) -> str:
        """`weight-0.3: 0.9512 ±0.0061, baseline 0.9688, change -0.0176`."""
        says = f"{self.result.cell.id}: "
        says += "not measured" if self.measured is None else written(self.measured)
        if self.bar:
            says += f" ±{plain(self.result.sure(self.metric.name).se or 0)}"
        if self.baseline is None:
            return f"{says}, no baseline"
        change = signed(self.result.change(self.metric.name)) or "unknown"
        return f"{says}, baseline {written(self.baseline)}, change {change}"


@dataclass(frozen=True)
class Series:
    """What is drawn alike in all figures of a run: a pruner, or the dense cell.

    Attributes:
        name: as the legend has it.
        kind: its class, which gives it its colour.
        shape: outline of its markers.
    """

    name: str
    kind: str
    shape: Shape


DENSE = Series("dense", "dense", DIAMOND)


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        metric: what it shows.
        across: the axis of ratios.
        up: the axis of values.
        dense: the dense cell's point, or none.
        curves: each pruner's points, ratios ascending.
    """

    metric: Metric
    across: Axis
    up: Axis
    dense: list[Point]
    curves: list[tuple[Series, list[Point]]]

    @property
    def points(self) -> list[Point]:
        """All points."""
        return [*self.dense, *(point for _, points in self.curves for point in points)]

    def heights(self, values: Iterable[float]) -> list[float]:
        """Where values lie."""
        return [self.up.place(value) for value in values]

    def line(self, points: Iterable[Point]) -> str:
        """A curve through what was measured, as SVG has it."""
        places = ((point.result.cell.ratio, point.measured) for point in points)
        return " ".join(
            f"{self.across.place(ratio)},{self.up.place(value)}"
            for ratio, value in places
            if value is not None
        )


def corners(shape: Shape, x: float, y: float, radius: float) -> str:
    """A marker's outline about a place, as SVG has it."""
    return " ".join(f"{x + radius * dx:.2f},{y + radius * dy:.2f}" for dx, dy in shape)


def series_of(model: ModelRun, pruners: Iterable[str]) -> list[Series]:
    """The pruners of a model, each with the colour and shape that it has in every model of a run."""
    ran = {result.cell.pruner for result in model.results if result.cell.pruner and result.cell.ratio}
    order = [*pruners, *sorted(ran.difference(pruners))]
    return [
        Series(pruner, f"s{index % COLOURS}", _SHAPES[index % len(_SHAPES)])
        for index, pruner in enumerate(order)
        if pruner in ran
    ]


def figures(run: Run, model: ModelRun) -> list[Figure]:
    """A model's figures: of metrics that are shown, then of the user's own; none without a curve."""
    own = [name for name, metric in run.metrics.items() if name not in METRICS and not metric.count]
    names = dict.fromkeys([*shown(run.metrics), *own])
    drawn = (_figure(run.metrics[name], model, series_of(model, run.protocol.pruners)) for name in names)
    return [figure for figure in drawn if figure]


def left_out(model: ModelRun) -> list[str]:
    """Ids of the cells that no figure shows."""
    return [result.cell.id for result in model.results if not _has_place(result.cell)]


def _has_place(cell: Cell) -> bool:
    return cell.dense or cell.ratio > 0


def _figure(metric: Metric, model: ModelRun, series: list[Series]) -> Figure | None:
    placed = [result for result in model.results if _has_place(result.cell)]
    points = [point for result in placed if (point := Point(result, metric)).values]
    ratio = max((point.result.cell.ratio for point in points), default=0)
    values = [value for point in points for value in (*point.values, *point.bar)]
    if ratio <= 0 or max(map(abs, values)) > LARGEST:
        return None
    curves = [
        (one, sorted(found, key=lambda point: point.result.cell.ratio))
        for one in series
        if (found := [point for point in points if point.result.cell.pruner == one.name])
    ]
    return Figure(
        metric,
        Axis(nice_ticks(0.0, max(ratio, 0.01), 8), LEFT, RIGHT),
        Axis(value_ticks(values, higher_is_better=metric.higher_is_better), BOTTOM, TOP),
        [point for point in points if point.result.cell.dense],
        curves,
    )
