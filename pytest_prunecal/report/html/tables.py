"""Tables of the HTML report.

Per model: its cells, its cells together, what the gate can see; per cell: its comparison, its corrupted sets.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_prunecal.judge.verdict import Status
from pytest_prunecal.report.failure import bases
from pytest_prunecal.report.html.markup import Markup, join, tag
from pytest_prunecal.report.power import compared, cure, effect_of, shown
from pytest_prunecal.report.text_table import allowed
from pytest_prunecal.report.wording import (
    SYMBOLS,
    amount,
    by_severity,
    change_of,
    comparisons,
    corrupted_sets,
    heading_of,
    legend_of,
    mean_change,
    mean_score,
    metric_names,
    number,
    reason,
    rule_of,
    title_of,
    uncertainty_of,
    value_of,
)
from pytest_prunecal.study.metric import in_order
from pytest_prunecal.study.uncertainty import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_prunecal.judge.verdict import MetricVerdict
    from pytest_prunecal.report.run import CellResult, ModelRun, Run
    from pytest_prunecal.study.measurement import Measurement, Scores
    from pytest_prunecal.study.protocol import Protocol
    from pytest_prunecal.study.uncertainty import Uncertainty

HEAT = 9  # shades of the corrupted sets' table, apart from none
ECE_OF_DARKEST = 0.5
MEAN = "mean"
BLIND = "*"
"""Marks a comparison in which noise hides changes that matter, as in the terminal."""


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
    if legend := legend_of(model):
        explanation += f" Below that, {legend}."
    return join(tag("p", explanation, class_="muted"), table("cells and their metrics", head, rows, "cells"))


def _metric(result: CellResult, name: str) -> Markup:
    row = comparisons(result).get(name)
    value, error = number(value_of(result, name)), _sure(uncertainty_of(result, name))
    if row is None:
        return tag("td", value, error)
    if row.change is None:
        says = "no baseline" if row.baseline is None else "not measured"
    else:
        says = change_of(row)
    note = Markup()
    if row.status is not Status.OK and not (result.verdict and result.verdict.reason):
        note = tag("span", f"{SYMBOLS[row.status.value]} {says}", class_=f"change is-{row.status.value}")
    elif row.change:
        note = tag("span", says, class_="change")
    baseline = " ".join(part for part in (number(row.baseline), str(row.baseline_uncertainty)) if part)
    room = f"allowed {allowed(row)}, " if row.bound is not None else ""
    hint = f"{row.status.value}; baseline {baseline}, {room}tolerance {rule_of(row)}"
    return tag("td", value, note, error, title=hint)


def _sure(uncertainty: Uncertainty) -> Markup:
    """What stands under a number: its sampling error, then its deviation over seeds."""
    error = "" if uncertainty.se is None else f" ±{plain(uncertainty.se)}"
    spread = "" if uncertainty.sd is None else f" sd {plain(uncertainty.sd)}, {uncertainty.seeds} seeds"
    return join(*(tag("span", part, class_="sure") for part in (error, spread) if part))


def _numbers(*texts: str) -> list[Markup]:
    """Cells of columns of numbers."""
    return [tag("td", text, class_="number") for text in texts]


def comparison(result: CellResult, run: Run) -> Markup:
    """One cell against its baseline, metric by metric, with the rule that applied and where it is written."""
    numbers = ("baseline", "measured", "change", "allowed", "caught from")
    head = tag(
        "tr",
        header("metric"),
        *(header(text, class_="number") for text in numbers),
        *(header(text) for text in ("tolerance", "written in", "verdict")),
    )
    rows = [
        tag(
            "tr",
            tag("th", heading_of(row.metric, run.metrics), scope="row"),
            *_numbers(
                join(number(row.baseline), _sure(row.baseline_uncertainty)),
                join(number(row.measured), _sure(uncertainty_of(result, row.metric))),
                change_of(row),
                allowed(row),
            ),
            _caught(row, run),
            tag("td", str(row.tolerance)),
            tag("td", row.tolerance.source),
            tag("td", badge(row.status.value)),
            class_="fails" if row.status.fails else None,
        )
        for row in comparisons(result).values()
    ]
    content = table(f"{result.cell.id} against its baseline", head, rows, "comparison")
    return join(content, *(tag("p", line, class_="muted") for line in _explained(result, run)))


def _caught(row: MetricVerdict, run: Run) -> Markup:
    """The smallest regression that is caught, marked where noise hides smaller ones that matter."""
    found = row.allowance
    if found is None:
        return tag("td", class_="number")
    mark = tag("span", BLIND, class_="blind") if found.blind else ""
    hint = f"{shown(row, effect_of(row, run))} matters; {cure(found)}" if found.blind else None
    return tag("td", shown(row, found.detectable), mark, class_="number", title=hint)


def _explained(result: CellResult, run: Run) -> list[str]:
    """What a comparison is based on, and what would show that which noise hides."""
    if result.verdict is None:
        return []
    hidden = [
        f"{title_of(row.metric, run.metrics)} ({shown(row, effect_of(row, run))} matters; "
        f"{cure(row.allowance)})"
        for row in result.verdict.metrics
        if row.allowance and row.allowance.blind
    ]
    return [
        *bases(result.verdict),
        *(
            [f"not paired by image: {result.pairing.unpaired}"]
            if result.pairing and result.pairing.unpaired
            else []
        ),
        *([f"{BLIND} noise hides smaller regressions that matter of {', '.join(hidden)}"] if hidden else []),
    ]


def together(run: Run, model: ModelRun) -> Markup:
    """The cells of a model compared all at once, metric by metric."""
    head = tag(
        "tr",
        header("metric"),
        *(header(text, class_="number") for text in ("cells", "mean change", "allowed", "caught from")),
        header("verdict"),
    )
    rows = [
        tag(
            "tr",
            tag("th", heading_of(row.metric, run.metrics), scope="row"),
            *_numbers(
                str(row.cells),
                mean_change(row, run.metrics),
                amount(row.bound, row.metric, run.metrics),
                amount(row.detectable, row.metric, run.metrics),
            ),
            tag("td", badge(row.status.value)),
            class_="fails" if row.status.fails else None,
        )
        for row in model.together
    ]
    return table("all cells together, weighted by how sure each is", head, rows, "comparison")


def sight(run: Run, model: ModelRun) -> Markup:
    """The smallest regression that each comparison of a model catches."""
    rows_of: dict[str, dict[str, MetricVerdict]] = {}
    for result, row, _ in compared(model):
        rows_of.setdefault(result.cell.id, {})[row.metric] = row
    names = in_order({name for rows in rows_of.values() for name in rows}, run.metrics)
    titles = (title_of(name, run.metrics) for name in names)
    head = tag("tr", header("cell"), *(header(title, class_="number") for title in titles))
    rows = [
        tag(
            "tr",
            tag("th", cell, scope="row"),
            *(_caught(by_metric[name], run) if name in by_metric else tag("td") for name in names),
        )
        for cell, by_metric in rows_of.items()
    ]
    caption = (
        "the smallest regression that is caught with a probability of 95 %; "
        f"{BLIND} noise hides smaller ones that matter"
    )
    return table(caption, head, rows, "sight")


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
