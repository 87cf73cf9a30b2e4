"""The summary for a CI job's page: GitHub-flavoured Markdown, short enough for its limit of 1 MiB."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_prunecal.report.comparison import CELL, POOLED, RECOVERY
from pytest_prunecal.report.looks import looked_again
from pytest_prunecal.report.numbers import number, signed, sure
from pytest_prunecal.report.power import blindness, compared
from pytest_prunecal.report.wording import (
    AGAINST_DENSE,
    OUTCOMES,
    SYMBOLS,
    badge,
    clean,
    differing,
    heading_of,
    headline,
    legend_of,
    metric_of,
    outcome,
    plural,
    reason,
    screened,
    totals,
    wants_accepting,
    warnings_of,
)
from pytest_prunecal.report.yardstick import compared as compared_with
from pytest_prunecal.study.metric import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_prunecal.report.comparison import Column, Row
    from pytest_prunecal.report.run import CellResult, ModelRun, Run
    from pytest_prunecal.study.metric import Metric

LONGEST_ERROR = 2000  # characters of an error that are shown, from its end
MOST_DETAILS = 50  # failing cells of a model that are shown in full
_SPECIAL = re.compile(r"([\\`*_\[\]|~#!])")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;"})
# What GitHub makes links, mentions, pictures or formulas of, whatever is escaped in it: code is left alone.
# Neither pipes nor backticks, which code could not hold in a table, or at all.
_MAGIC = re.compile(r"[^\s|`]*(?:@|#\d|\bgh-\d|://|\bwww\.|:[\w+-]+:|\$)[^\s|`]*", re.IGNORECASE)
_OPENING = re.compile(r"^(?:[-+>=]|\d+(?=[.)]))")


def render(run: Run) -> str:
    """Write the summary.

    Args:
        run: the run; the same run gives the same text, to the byte.

    Returns:
        Markdown, to be stored as UTF-8.
    """
    return "\n".join(_lines(run)) + "\n"


def _lines(run: Run) -> Iterator[str]:
    yield f"## {OUTCOMES[outcome(run)]} prunecal {_inline(headline(run))}"
    yield ""
    yield f"{totals(run.results)}; protocol {_inline(run.protocol.name)} ({run.protocol.fingerprint})"
    for model in run.models:
        yield ""
        yield from _model(model, run)


def _model(model: ModelRun, run: Run) -> Iterator[str]:
    yield f"### {_inline(model.model)}"
    yield ""
    if model.results:
        names = shown(run.metrics)
        head = ["cell", *(heading_of(run.metrics[name]) for name in names), "verdict"]
        rows = [_row(result, names) for result in model.results]
        yield from _table(head, rows, "l" + "r" * len(names) + "l")
        yield ""
        if legend := legend_of(model):
            yield f"{legend}; in brackets the change against the baseline"
            yield ""
    failing = [result for result in model.results if result.failed]
    if failing:
        yield from _details(failing, run)
    if any(row.change for row in model.pooled):
        yield from _comparison(POOLED, model.pooled, run, "cells together")
    if model.accept and wants_accepting(model):
        yield "If the changes are meant, accept them:"
        yield ""
        yield from _fenced(model.accept)
    yield from _notes(model, run)


def _row(result: CellResult, names: Sequence[str]) -> list[str]:
    told = result.verdict and (differing(result.verdict) or result.verdict.differences)
    why = f": {reason(result)}" if told or result.label in ("error", "known", "unrecovered") else ""
    return [result.cell.id, *(_metric(result, name) for name in names), f"{badge(result.label)}{why}"]


def _metric(result: CellResult, name: str) -> str:
    change, note = result.change(name), ""
    if change:
        status = result.rows[name].status.value
        note = f"({signed(change)}{f' {SYMBOLS[status]}' if status != 'ok' else ''})"
    return _together(number(result.measured.get(name)), sure(result.sure(name)), note)


def _together(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _details(failing: Sequence[CellResult], run: Run) -> Iterator[str]:
    yield f"<details><summary>{plural(len(failing), 'failing cell')}: the comparison</summary>"
    yield ""
    for result in failing[:MOST_DETAILS]:
        yield f"**{_inline(result.cell.id)}** {_inline(f'{badge(result.label)} {reason(result)}')}"
        yield ""
        if result.verdict and result.rows and not result.verdict.without_baseline:
            yield from _comparison(CELL, tuple(result.rows.values()), run, "metric")
        if result.verdict and result.verdict.recovery:
            yield from _comparison(RECOVERY, result.verdict.recovery, run, AGAINST_DENSE)
        if found := [*compared_with(result.verdict), *(screened(result.verdict) if result.verdict else ())]:
            yield from (f"- {_paragraph(line)}" for line in found)
            yield ""
        if result.error:
            yield from _fenced(result.error.strip()[-LONGEST_ERROR:])
    if len(failing) > MOST_DETAILS:
        yield f"and {len(failing) - MOST_DETAILS} more"
        yield ""
    yield "</details>"
    yield ""


def _comparison(
    columns: Sequence[Column[Row]], rows: Sequence[Row], run: Run, metrics_are: str
) -> Iterator[str]:
    head = [metrics_are, *(column.heading for column in columns[1:])]
    lines = [[_cell(column, row, metric_of(row.metric, run.metrics)) for column in columns] for row in rows]
    yield from _table(head, lines, "".join("r" if column.kind == "number" else "l" for column in columns))
    yield ""


def _cell(column: Column[Row], row: Row, metric: Metric) -> str:
    if column.kind == "metric":
        return heading_of(metric)
    if column.kind == "verdict":
        return badge(row.status.value)
    return _together(column.text(row, metric), str(column.sure(row)) if column.sure else "")


def _notes(model: ModelRun, run: Run) -> Iterator[str]:
    notes = list(looked_again(model, run))
    if blind := blindness(compared(model), run):
        notes.append(blind)
    notes += [f"{warning} ({', '.join(cells)})" for warning, cells in warnings_of(model).items()]
    if model.environment:
        notes.append(f"measured elsewhere than the baseline: {model.environment}")
    if model.orphans:
        notes.append(
            f"accepted cells that nothing registered or configured can make: {', '.join(model.orphans)}"
        )
    if model.refreshed:
        notes.append(model.refreshed)
    for note in notes[:MOST_DETAILS]:
        yield f"- {_paragraph(note)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], columns: str) -> Iterator[str]:
    """A table; `columns` has one letter each, r for those that are aligned to the right."""
    yield _line(head)
    yield f"|{'|'.join(' ---: ' if column == 'r' else ' --- ' for column in columns)}|"
    for row in rows:
        yield _line(row)


def _line(parts: Sequence[str]) -> str:
    return f"| {' | '.join(_inline(part) for part in parts)} |"


def _inline(text: str) -> str:
    """Any text as one line of Markdown that shows it as it is."""
    text = clean(" ".join(text.split()))
    parts, place = [], 0
    for magic in _MAGIC.finditer(text):
        parts += [_literal(text[place : magic.start()]), f"`{magic.group()}`"]
        place = magic.end()
    return "".join([*parts, _literal(text[place:])])


def _literal(text: str) -> str:
    # An escaped backtick beside code would still count as one of its fence.
    return _SPECIAL.sub(r"\\\1", text).translate(_ENTITIES).replace("\\`", "&#96;")


def _paragraph(text: str) -> str:
    """The same where a line begins: no list, quotation or heading."""
    shown = _inline(text)
    opening = _OPENING.match(shown)
    if opening is None:
        return shown
    end = opening.end()
    return f"{shown[:end]}\\{shown[end:]}" if opening.group().isdecimal() else f"\\{shown}"


def _fenced(text: str) -> Iterator[str]:
    """Any text as a block of code: the fence is longer than every run of backticks within."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    yield fence
    yield clean(text)
    yield fence
    yield ""
