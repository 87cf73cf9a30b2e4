"""Tables of the HTML report: the cells of a model, a cell's comparison, a cell's corrupted sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_prunecal.report.facts import (
    SYMBOLS,
    arrow_of,
    change_of,
    comparisons,
    corrupted_sets,
    mean_score,
    metric_names,
    number,
    reason,
    rule_of,
    title_of,
    value_of,
)
from pytest_prunecal.report.markup import Markup, join, tag
from pytest_prunecal.verdict import Status

if TYPE_CHECKING:
    from pytest_prunecal.measurement import Measurement, Scores
    from pytest_prunecal.protocol import Protocol
    from pytest_prunecal.report.run import CellResult, ModelRun, Run

HEAT = 9  # shades of the corrupted sets' table, 0 being none
_ECE_OF_DARKEST = 0.5


def table(caption: str, head: Markup, rows: list[Markup], kind: str) -> Markup:
    """A table in a frame that scrolls by itself where the page is too narrow, also from the keyboard.

    Args:
        caption: says what the table holds.
        head: the row, or rows, of column headers.
        rows: the others.
        kind: the table's class.
    """
    content = tag(
        "table",
        tag("caption", caption),
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


def cells(run: Run, model: ModelRun, anchors: dict[str, str]) -> Markup:
    """All cells of a model: each metric with its change against the baseline, and the verdict.

    Args:
        run: the run.
        model: one of its models.
        anchors: cell id to the id of the part of the page that says more about it.
    """
    names = metric_names(run, model)
    head = tag(
        "tr",
        header("cell"),
        header("verdict"),
        *(header(f"{title_of(name, run.metrics)} {arrow_of(name, run.metrics)}") for name in names),
    )
    rows = [
        tag(
            "tr",
            tag("th", tag("a", result.cell.id, href=f"#{anchors[result.cell.id]}"), scope="row"),
            tag("td", badge(result.label), class_="verdict", title=reason(result)),
            *(_metric(result, name) for name in names),
            class_="fails" if result.failed else None,
        )
        for result in model.results
    ]
    caption = (
        f"Cells of {model.model}. Under each number is its change against the baseline, "
        "and behind it the rule that applied. ↑ higher is better, ↓ lower is better."
    )
    return table(caption, head, rows, "cells")


def _metric(result: CellResult, name: str) -> Markup:
    row = comparisons(result).get(name)
    value = value_of(result, name)
    if row is None:
        return tag("td", number(value))
    if row.change is None:
        says = "no baseline" if row.baseline is None else "not measured"
    else:
        says = change_of(row)
    marked = row.status is not Status.OK
    note = tag(
        "span",
        f"{SYMBOLS[row.status.value]} {says}" if marked else says,
        class_=f"change is-{row.status.value}" if marked else "change",
    )
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
            tag("th", f"{title_of(row.metric, run.metrics)} {arrow_of(row.metric, run.metrics)}", scope="row"),
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
    """Accuracy and ECE of every corrupted test set; the darker, the worse."""
    sets = corrupted_sets(measurement, protocol)
    severities = sorted({severity for levels in sets.values() for severity in levels}, key=_by_number)
    columns = [*severities, *(["mean"] if len(severities) > 1 else [])]
    head = join(
        tag(
            "tr",
            header("corruption", rowspan=2),
            header("accuracy, by severity", colspan=len(columns)),
            header("ECE, by severity", colspan=len(columns), class_="divided"),
        ),
        tag("tr", *(header(text) for text in columns), *_divided([header(text) for text in columns])),
    )
    rows = []
    for name, levels in sets.items():
        accuracy, ece = ([_heat(levels, column, score) for column in columns] for score in ("accuracy", "ece"))
        rows.append(tag("tr", tag("th", name, scope="row"), *accuracy, *_divided(ece)))
    caption = f"Corrupted test sets of {cell_id}: the darker, the worse"
    return table(caption, head, rows, "heat")


def _divided(parts: list[Markup]) -> list[Markup]:
    """Set a group of columns apart from the one before it."""
    return [Markup(part.replace("<t", '<t', 1)) for part in parts]


def _heat(levels: dict[str, Scores], column: str, score: str) -> Markup:
    value = mean_score(levels, score) if column == "mean" else levels.get(column, {}).get(score)
    if value is None:
        return tag("td", "–")
    badness = 1 - value if score == "accuracy" else value / _ECE_OF_DARKEST
    shade = round(HEAT * min(max(badness, 0.0), 1.0)) if badness == badness else 0
    return tag("td", f"{value:.3f}", class_=f"h{shade}" if shade else None)


def _by_number(severity: str) -> tuple[int, str]:
    return (int(severity) if severity.isdecimal() else 10, severity)
