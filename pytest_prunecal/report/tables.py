"""Tables of the HTML report: the cells of a model, a cell's comparison, a cell's corrupted sets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_prunecal.report.facts import (
    SYMBOLS,
    by_severity,
    change_of,
    comparisons,
    corrupted_sets,
    heading_of,
    mean_score,
    metric_names,
    number,
    reason,
    rule_of,
    value_of,
)
from pytest_prunecal.report.markup import Markup, join, tag
from pytest_prunecal.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_prunecal.measurement import Measurement, Scores
    from pytest_prunecal.protocol import Protocol
    from pytest_prunecal.report.run import CellResult, ModelRun, Run

HEAT = 9  # shades of the corrupted sets' table, apart from none
ECE_OF_DARKEST = 0.5
MEAN = "mean"


def table(
    caption: str, head: Markup, rows: Sequence[Markup], kind: str, groups: Sequence[int] = ()
) -> Markup:
    """A table in a frame that scrolls by itself where the page is too narrow, also from the keyboard.

    Args:
        caption: says what the table holds.
        head: the row, or rows, of column headers.
        rows: the others.
        kind: the table's class.
        groups: how many columns each group of columns has, where they are to be set apart.
    """
    content = tag(
        "table",
        tag("caption", caption),
        *(tag("colgroup", span=group) for group in groups),
        tag("thead", head),
        tag("tbody", *rows),
        class_=kind,
    )
    return tag("div", content, class_="scroll", tabindex=0, role="group", aria_label=caption)


def header(text: str, **attributes: str | float | None) -> Markup:
    """A column's header."""
    return tag("th", text, scope="col", **attributes)


def badge(label: str) -> Markup:
    """A label with its symbol."""
    return tag("span", f"{SYMBOLS[label]} {label}", class_=f"badge is-{label}")


def cells(run: Run, model: ModelRun, anchors: Sequence[str]) -> Markup:
    """All cells of a model: each metric with its change against the baseline, and the verdict.

    Args:
        run: the run.
        model: one of its models.
        anchors: for each cell, the id of the part of the page that says more about it.
    """
    names = metric_names(run, model)
    head = tag(
        "tr",
        header("cell"),
        header("verdict"),
        *(header(heading_of(name, run.metrics)) for name in names),
    )
    rows = [
        tag(
            "tr",
            tag("th", tag("a", result.cell.id, href=f"#{anchor}"), scope="row"),
            tag("td", badge(result.label), class_="verdict", title=reason(result) or None),
            *(_metric(result, name) for name in names),
            class_="fails" if result.failed else None,
        )
        for result, anchor in zip(model.results, anchors, strict=True)
    ]
    explanation = (
        "Under a number stands its change against the baseline, if it changed; pointing at it shows the rule "
        "that applied. ↑ higher is better, ↓ lower is better."
    )
    return join(tag("p", explanation, class_="muted"), table("cells and their metrics", head, rows, "cells"))


def _metric(result: CellResult, name: str) -> Markup:
    row = comparisons(result).get(name)
    value = value_of(result, name)
    if row is None:
        return tag("td", number(value))
    if row.change is None:
        says = "no baseline" if row.baseline is None else "not measured"
    else:
        says = change_of(row)
    note = Markup()
    if row.status is not Status.OK and not (result.verdict and result.verdict.reason):
        note = tag("span", f"{SYMBOLS[row.status.value]} {says}", class_=f"change is-{row.status.value}")
    elif row.change:
        note = tag("span", says, class_="change")
    hint = f"{row.status.value}; baseline {number(row.baseline)}, tolerance {rule_of(row)}"
    return tag("td", number(value), note, title=hint)


def comparison(result: CellResult, run: Run) -> Markup:
    """One cell against its baseline, metric by metric, with the rule that applied and where it is written."""
    head = tag(
        "tr",
        header("metric"),
        *(header(text, class_="number") for text in ("baseline", "measured", "change")),
        *(header(text) for text in ("tolerance", "written in", "verdict")),
    )
    rows = [
        tag(
            "tr",
            tag("th", heading_of(row.metric, run.metrics), scope="row"),
            *(
                tag("td", text, class_="number")
                for text in (number(row.baseline), number(row.measured), change_of(row))
            ),
            tag("td", str(row.tolerance)),
            tag("td", row.tolerance.source),
            tag("td", badge(row.status.value)),
            class_="fails" if row.status.fails else None,
        )
        for row in comparisons(result).values()
    ]
    return table(f"{result.cell.id} against its baseline", head, rows, "comparison")


def corrupted(measurement: Measurement, cell_id: str, protocol: Protocol) -> Markup:
    """Accuracy and ECE of every corrupted test set; the redder, the worse."""
    sets = corrupted_sets(measurement, protocol)
    severities = sorted({severity for levels in sets.values() for severity in levels}, key=by_severity)
    columns = [*severities, *([MEAN] if len(severities) > 1 else [])]
    head = join(
        tag(
            "tr",
            header("corruption", rowspan=2),
            *(
                tag("th", f"{score}, by severity", scope="colgroup", colspan=len(columns))
                for score in ("accuracy", "ECE")
            ),
        ),
        tag("tr", *(header(text) for text in columns * 2)),
    )
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            *(_heat(levels, column, score) for score in ("accuracy", "ece") for column in columns),
        )
        for name, levels in sets.items()
    ]
    caption = f"Corrupted test sets of {cell_id}: the redder, the worse"
    return table(caption, head, rows, "heat", (1, len(columns), len(columns)))


def _heat(levels: dict[str, Scores], column: str, score: str) -> Markup:
    value = mean_score(levels, score) if column == MEAN else levels.get(column, {}).get(score)
    if value is None or not math.isfinite(value):
        return tag("td", "-")
    badness = 1 - value if score == "accuracy" else value / ECE_OF_DARKEST
    shade = round(HEAT * min(max(badness, 0.0), 1.0))
    return tag("td", f"{value:.3f}", class_=f"h{shade}" if shade else None)
