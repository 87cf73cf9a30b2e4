"""The study's figures: a metric against the pruning ratio, one line per pruner, as inline SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from pytest_prunecal.report.html.axes import Axis, nice_ticks, value_ticks
from pytest_prunecal.report.html.markup import Markup, join, tag
from pytest_prunecal.report.wording import (
    HEADLINE,
    arrow_of,
    change_of,
    comparisons,
    title_of,
    uncertainty_of,
    value_of,
)
from pytest_prunecal.study.metric import METRICS, written
from pytest_prunecal.study.uncertainty import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_prunecal.report.run import CellResult, ModelRun, Run
    from pytest_prunecal.study.metric import Metric

WIDTH, HEIGHT = 340, 230
LEFT, RIGHT, TOP, BOTTOM = 50, 330, 10, 188
COLOURS = 6
LARGEST = 1e12  # beyond it neither labels nor floating point leave a readable axis
_DENSE = "dense"
_SHARES = (0.0, 1.0)  # between which the study's metrics lie

# Outlines of radius 1, so that a pruner is told from another without its colour. The circle is drawn as such.
_SHAPES: tuple[tuple[tuple[float, float], ...], ...] = (
    (),
    ((-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)),
    ((0, -1.15), (1.1, 0.8), (-1.1, 0.8)),
    ((0, 1.15), (1.1, -0.8), (-1.1, -0.8)),
)
_DIAMOND = ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0))


@dataclass(frozen=True)
class Point:
    """One cell in one figure.

    Attributes:
        cell: the cell's id.
        ratio: its ratio, 0 for the dense cell.
        measured: what was measured; None if it was not.
        baseline: what is accepted; None if nothing is.
        change: measured minus baseline, in words.
        error: sampling error of what was measured; None if it is not known.
        room: between which two numbers the metric lies, whatever its error.
    """

    cell: str
    ratio: float
    measured: float | None
    baseline: float | None
    change: str
    error: float | None = None
    room: tuple[float, float] = (-math.inf, math.inf)

    @property
    def values(self) -> list[float]:
        """What was measured and what is accepted."""
        return [value for value in (self.measured, self.baseline) if value is not None]

    @property
    def bar(self) -> tuple[float, ...]:
        """Both ends of the error bar; none if there is no error."""
        if self.measured is None or not self.error:
            return ()
        low, high = self.room
        return (
            min(self.measured, max(self.measured - self.error, low)),
            max(self.measured, min(self.measured + self.error, high)),
        )

    def __str__(self) -> str:
        """`weight-0.3: 0.9512 ±0.0061, baseline 0.9688, change -0.0176`."""
        measured = "not measured" if self.measured is None else written(self.measured)
        measured += f" ±{plain(self.error)}" if self.bar and self.error else ""
        if self.baseline is None:
            return f"{self.cell}: {measured}, no baseline"
        return (
            f"{self.cell}: {measured}, baseline {written(self.baseline)}, change {self.change or 'unknown'}"
        )


def series_of(model: ModelRun, pruners: Iterable[str]) -> dict[str, int]:
    """Each pruner of a model with the number of its colour and shape, the same in every model of a run."""
    ran = {result.cell.pruner for result in model.results if result.cell.pruner is not None}
    order = [*pruners, *sorted(ran.difference(pruners))]
    return {pruner: index for index, pruner in enumerate(order) if pruner in ran}


def figures(run: Run, model: ModelRun, anchor: str) -> list[Markup]:
    """A model's figures: the study's four, then the user's own metrics; those without a point are left out.

    Args:
        run: the run.
        model: one of its models.
        anchor: prefix of the ids in the figures, unique to the model within the page.
    """
    own = [name for name, metric in run.metrics.items() if name not in METRICS and not metric.count]
    drawn = (_figure(name, run, model, f"{anchor}f{index}") for index, name in enumerate((*HEADLINE, *own)))
    return [figure for figure in drawn if figure]


def _figure(name: str, run: Run, model: ModelRun, anchor: str) -> Markup:
    series = series_of(model, run.protocol.pruners)
    points = [(result, _point(result, name)) for result in model.results]
    curves = {
        pruner: sorted(
            (point for result, point in points if result.cell.pruner == pruner and point.values),
            key=lambda point: point.ratio,
        )
        for pruner in series
    }
    dense = [point for result, point in points if result.cell.pruner is None and point.values]
    drawn = list(chain(dense, *curves.values()))
    values = [value for point in drawn for value in (*point.values, *point.bar)]
    ratio = max((point.ratio for point in drawn), default=0)
    if ratio <= 0 or max(map(abs, values)) > LARGEST:
        return Markup()
    better = name in run.metrics and run.metrics[name].higher_is_better
    across = Axis(nice_ticks(0.0, max(ratio, 0.01), 8), LEFT, RIGHT)
    up = Axis(value_ticks(values, higher_is_better=better), BOTTOM, TOP)
    picture = tag(
        "svg",
        tag(
            "title", f"{title_of(name, run.metrics)} of {model.model} against pruning ratio", id=f"{anchor}t"
        ),
        tag("desc", _description(dense, curves), id=f"{anchor}d"),
        _grid(across, up),
        *(_reference(point, across, up) for point in dense),
        *(_curve(curve, series[pruner], across, up) for pruner, curve in curves.items() if curve),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_labelledby=f"{anchor}t {anchor}d",
    )
    return tag("figure", tag("figcaption", _caption(name, run.metrics)), picture)


def _caption(name: str, metrics: Mapping[str, Metric]) -> Markup:
    arrow = arrow_of(name, metrics)
    better = "higher is better" if arrow == "↑" else "lower is better"
    return join(title_of(name, metrics), " ", tag("span", f"{arrow} {better}", class_="muted"))


def _point(result: CellResult, metric: str) -> Point:
    row = comparisons(result).get(metric)
    return Point(
        result.cell.id,
        result.cell.ratio,
        value_of(result, metric),
        row.baseline if row else None,
        change_of(row),
        uncertainty_of(result, metric).se,
        _SHARES if metric in HEADLINE else (-math.inf, math.inf),
    )


def _description(dense: list[Point], curves: Mapping[str, list[Point]]) -> str:
    return "; ".join(
        str(point) for point in [*dense, *(point for curve in curves.values() for point in curve)]
    )


def _grid(across: Axis, up: Axis) -> Markup:
    parts = []
    for tick in up.ticks:
        y = up.place(tick)
        parts += [
            tag("line", class_="grid", x1=LEFT, x2=RIGHT, y1=y, y2=y),
            tag("text", up.label(tick), class_="tick end", x=LEFT - 10, y=y + 4),
        ]
    for tick in across.ticks:
        x = across.place(tick)
        parts += [
            tag("line", class_="axis", x1=x, x2=x, y1=BOTTOM, y2=BOTTOM + 4),
            tag("text", across.label(tick), class_="tick middle", x=x, y=BOTTOM + 18),
        ]
    return join(
        *parts,
        tag("line", class_="axis", x1=LEFT, x2=RIGHT, y1=BOTTOM, y2=BOTTOM),
        tag("text", "pruning ratio", class_="tick middle", x=(LEFT + RIGHT) / 2, y=HEIGHT - 7),
    )


def _reference(point: Point, across: Axis, up: Axis) -> Markup:
    """The dense cell: a dashed line over all ratios, and its marker at ratio 0."""
    line = Markup()
    if point.measured is not None:
        y = up.place(point.measured)
        line = tag("line", class_="reference", x1=LEFT, x2=RIGHT, y1=y, y2=y)
    return join(line, tag("g", _mark(point, _DIAMOND, across, up), class_=_DENSE))


def _curve(points: list[Point], series: int, across: Axis, up: Axis) -> Markup:
    measured = [(point.ratio, point.measured) for point in points if point.measured is not None]
    line = " ".join(f"{across.place(ratio)},{up.place(value)}" for ratio, value in measured)
    shape = _SHAPES[series % len(_SHAPES)]
    return tag(
        "g",
        tag("polyline", points=line) if line else "",
        *(_mark(point, shape, across, up) for point in points),
        class_=f"s{series % COLOURS}",
    )


def _mark(point: Point, shape: tuple[tuple[float, float], ...], across: Axis, up: Axis) -> Markup:
    """A cell: solid where it was measured, hollow where its baseline is, a stem between the two."""
    x = across.place(point.ratio)
    parts = [tag("title", str(point))]
    if point.bar:
        low, high = map(up.place, point.bar)
        parts.append(tag("line", class_="error", x1=x, x2=x, y1=low, y2=high))
    heights = [up.place(value) for value in point.values]
    if len(heights) > 1 and heights[0] != heights[1]:
        parts.append(tag("line", class_="stem", x1=x, x2=x, y1=heights[0], y2=heights[1]))
    if point.baseline is not None:
        parts.append(outline(shape, x, up.place(point.baseline), 4.4, "baseline"))
    if point.measured is not None:
        parts.append(outline(shape, x, up.place(point.measured), 2.8, "measured"))
    return tag("g", *parts)


def outline(shape: tuple[tuple[float, float], ...], x: float, y: float, radius: float, kind: str) -> Markup:
    """A marker's outline; `kind` is its class."""
    if not shape:
        return tag("circle", class_=kind, cx=x, cy=y, r=radius)
    corners = " ".join(f"{x + radius * dx:.2f},{y + radius * dy:.2f}" for dx, dy in shape)
    return tag("polygon", class_=kind, points=corners)


def legend(run: Run, model: ModelRun) -> Markup:
    """What lines and markers mean, for all of a model's figures."""
    entries = [
        _entry(pruner, f"s{index % COLOURS}", _SHAPES[index % len(_SHAPES)])
        for pruner, index in series_of(model, run.protocol.pruners).items()
    ]
    if any(result.cell.pruner is None for result in model.results):
        entries.append(_entry(_DENSE, _DENSE, _DIAMOND))
    if any(row.baseline is not None for result in model.results for row in comparisons(result).values()):
        hollow = outline((), 14, 7, 4.4, "baseline")
        entries.append(tag("li", _swatch(tag("g", hollow, class_=_DENSE)), "hollow: baseline"))
    if any(_point(result, name).bar for result in model.results for name in HEADLINE):
        bar = tag("line", class_="error", x1=14, x2=14, y1=1, y2=13)
        entries.append(tag("li", _swatch(tag("g", bar, class_=_DENSE)), "bar: sampling error"))
    return tag("ul", *entries, class_="legend")


def _entry(name: str, kind: str, shape: tuple[tuple[float, float], ...]) -> Markup:
    ends = {"x1": 1, "x2": 27, "y1": 7, "y2": 7}
    line = tag("line", class_="reference" if kind == _DENSE else "line", **ends)
    return tag("li", _swatch(tag("g", line, outline(shape, 14, 7, 3.4, "measured"), class_=kind)), name)


def _swatch(content: Markup) -> Markup:
    return tag("svg", content, viewBox="0 0 28 14", aria_hidden="true")
